/**
 * The rules that ringway.js follows, one test each, run inside a browser: with a `WebSocket` that the test speaks for,
 * and a clock that the test moves. Nothing here touches a network.
 */

// ---- the stage

/** Stands in for the browser's timers, `performance.now` and `Math.random`. */
const clock = {
  now: 1_000,
  timers: new Map(),
  last: 0,
  random: 0.5,
  install() {
    globalThis.setTimeout = (run, delay = 0, ...args) => {
      this.timers.set(++this.last, { at: this.now + Math.max(0, delay), run: () => run(...args) });
      return this.last;
    };
    globalThis.clearTimeout = id => this.timers.delete(id);
    performance.now = () => this.now;
    Math.random = () => this.random;
  },
  /** Lets `ms` pass: what is due runs in its order, each with all that follows from it at once. */
  async pass(ms) {
    const end = this.now + ms;
    for (await settled(); ; await settled()) {
      const [id, timer] = [...this.timers].sort(([a, x], [b, y]) => x.at - y.at || a - b)[0] ?? [];
      if (!timer || timer.at > end) break;
      this.timers.delete(id);
      this.now = Math.max(this.now, timer.at);
      timer.run();
    }
    this.now = end;
  },
};

/** All that promises have waiting. */
async function settled() {
  for (let turn = 0; turn < 20; turn += 1) await null;
}

/** The far end of a connection, as the server sees it. */
class Socket {
  static all = [];
  readyState = 0;
  sent = [];
  constructor(url, protocols) {
    Object.assign(this, { url: new URL(url), protocols });
    Socket.all.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
    this.closedByClient = true;
  }
  accept() {
    this.readyState = 1;
    this.onopen?.();
    return this;
  }
  say(...frames) {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
    return this;
  }
  hello(fields) {
    return this.say({ t: 'hello', conn: 'c', session: 's1', ping: 25, limits: { frame: 65_536 }, ...fields });
  }
  drop(code, reason = '') {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  frames(t) {
    return this.sent.filter(frame => frame.t === t);
  }
  /** Answers the join of `room` that came last. */
  joined(room, result) {
    const { id } = this.frames('join').findLast(frame => frame.room === room);
    return this.say({ t: 'ok', id, room, result });
  }
}

const latest = () => Socket.all.at(-1);
const msg = (room, offset, more) => ({ t: 'msg', room, offset, ts: offset * 10, data: `m${offset}`, ...more });

function same(actual, expected, what = '') {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what} is ${a}, not ${b}`);
}

/** What the application hears of a room, as short words. */
function transcript(room) {
  const heard = [];
  room.on('msg', frame => heard.push(frame.data));
  room.on('gap', frame => heard.push(`gap ${frame.reason}`));
  room.on('left', frame => heard.push(`left ${frame.code}`));
  return heard;
}

/** A client that is connected and has joined `a`, at epoch e, offset 10. */
async function standing(connect, options) {
  const client = connect('https://ringway.test', { WebSocket: Socket, ...options });
  const room = client.join('a');
  const heard = transcript(room);
  await settled();
  const socket = latest().accept().hello();
  socket.joined('a', { epoch: 'e', offset: 10, ts: 100, newest: 10 });
  return { client, room, heard, socket };
}

/** The promise's outcome: its value, or the `code` of its error. */
const outcome = promise => promise.then(value => value, error => error.code);

// ---- the rules

const tests = {
  async 'a URL may be http and without a path, and secrets travel as subprotocols only'({ connect }) {
    const client = connect('http://ringway.test', { WebSocket: Socket, token: 'jwt', session: 's0', tenant: 't', user: 'ü&' });
    client.join('a b/c');
    await settled();
    const { url, protocols } = latest();
    same(url.origin + url.pathname, 'ws://ringway.test/v1/ws');
    same([...url.searchParams], [['room', 'a b/c'], ['tenant', 't'], ['user', 'ü&'], ['client', 'ringway.js/0.1']]);
    same(protocols, ['ringway.v1.json', 'bearer.jwt', 'session.s0']);
    connect('wss://ringway.test/custom/path', { WebSocket: Socket });
    await settled();
    same(latest().url.href, 'wss://ringway.test/custom/path?client=ringway.js%2F0.1');
  },

  async 'joins leave with the upgrade, without waiting for hello'({ connect }) {
    const client = connect('wss://ringway.test', { WebSocket: Socket });
    for (let n = 0; n < 100; n += 1) client.join(`room ${n}`, { last: 5 });
    await settled();
    const socket = latest().accept();
    same(socket.sent.length, 100);
    same(socket.sent[99], { t: 'join', id: socket.sent[99].id, room: 'room 99', last: 5 });
    same(new Set(socket.sent.map(frame => frame.id)).size, 100);
    client.join('later');
    same(socket.sent.at(-1).room, 'later');
  },

  async 'rooms called like an object\'s own things are rooms like others'({ connect }) {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '👩‍👩‍👧'.repeat(10)];
    const client = connect('wss://ringway.test', { WebSocket: Socket });
    const rooms = names.map(name => client.join(name));
    const heard = rooms.map(transcript);
    await settled();
    const socket = latest().accept().hello();
    for (const name of names) socket.joined(name, { epoch: 'e', offset: 0, newest: 0 }).say(msg(name, 1, { data: name, user: name }));
    same(heard, names.map(name => [name]));
    socket.drop(1012);
    await clock.pass(500);
    same(latest().accept().frames('join').map(frame => [frame.room, frame.since.offset]), names.map(name => [name, 1]));
    rooms[0].leave();
    same([latest().sent.at(-1).room, client.rooms.size], ['__proto__', 4]);
  },

  async 'a position is of the join, then of each message with an offset, then of a gap'({ connect }) {
    const { room, socket } = await standing(connect);
    same(room.position.at, { epoch: 'e', offset: 10, ts: 100 });
    socket.say(msg('a', 11), msg('a', undefined, { data: 'signal' }), msg('a', 99, { id: 7 }));
    same(room.position.at, { epoch: 'e', offset: 11, ts: 110 });
    socket.say({ t: 'gap', room: 'a', reason: 'slow', epoch: 'e', offset: 20, ts: 200, lost: 9 });
    same(room.position.at, { epoch: 'e', offset: 20, ts: 200 });
    socket.say({ t: 'gap', room: 'a', reason: 'epoch', epoch: 'f', offset: 3, ts: 300 }, msg('a', 4));
    same(room.position.at, { epoch: 'f', offset: 4, ts: 40 });
  },

  async 'a cut in the middle of a replay loses nothing'({ connect }) {
    const { heard, socket } = await standing(connect);
    socket.drop(1006);
    await clock.pass(500);
    latest().accept().hello().joined('a', { epoch: 'e', offset: 10, ts: 100, newest: 15, resumed: true });
    latest().say(msg('a', 11), msg('a', 12)).drop(1006);
    await clock.pass(1_000);
    same(latest().accept().sent[0].since, { epoch: 'e', offset: 12, ts: 120 });
    latest().hello().joined('a', { epoch: 'e', offset: 12, ts: 120, newest: 15, resumed: true });
    latest().say(msg('a', 13), msg('a', 14), msg('a', 15));
    same(heard, ['m11', 'm12', 'm13', 'm14', 'm15']);
  },

  async 'an answer without a position keeps the old one until a gap'({ connect }) {
    const { room, heard, socket } = await standing(connect);
    socket.drop(1012);
    await clock.pass(500);
    latest().accept().hello().joined('a', { resumed: false });
    same(room.position.at, { epoch: 'e', offset: 10, ts: 100 });
    latest().say({ t: 'gap', room: 'a', reason: 'epoch', epoch: 'f', offset: 0 }, msg('a', 1));
    same(heard, ['gap epoch', 'm1']);
    same(room.position.at, { epoch: 'f', offset: 1, ts: 10 });
  },

  async 'what was had is dropped by its offset, within its epoch'({ connect }) {
    const { heard, socket } = await standing(connect);
    socket.say(msg('a', 11), msg('a', 13), msg('a', 12)); // the last was held up: a value of another key
    socket.drop(1012);
    await clock.pass(500);
    same(latest().accept().hello().sent.at(-1).since.offset, 13);
    latest().joined('a', { epoch: 'e', offset: 13, newest: 14, resumed: true });
    latest().say(msg('a', 12), msg('a', 13), msg('a', 14));
    latest().drop(1012);
    await clock.pass(1_000);
    latest().accept().hello().joined('a', { epoch: 'f', offset: 4, newest: 4, resumed: false });
    latest().say(msg('a', 5));
    same(heard, ['m11', 'm13', 'm12', 'm14', 'm5']);
  },

  async 'the newest that `last` asked for are heard, wherever the answer puts the position'({ connect }) {
    const client = connect('wss://ringway.test', { WebSocket: Socket });
    const heard = transcript(client.join('a', { last: 2 }));
    await settled();
    latest().accept().hello().joined('a', { epoch: 'e', offset: 20, newest: 20 });
    latest().say(msg('a', 19), msg('a', 20), msg('a', 21));
    same(heard, ['m19', 'm20', 'm21']);
  },

  async 'a room that the server joined us to is a room, and one that we hold keeps its position'({ connect }) {
    const { client, room, heard, socket } = await standing(connect);
    let theirs;
    client.on('room', joined => (theirs = transcript(joined)));
    socket.say({ t: 'joined', room: 'inbox', result: { epoch: 'i', offset: 5, newest: 5 } }, msg('inbox', 6), msg('a', 11));
    same(theirs, ['m6']);
    socket.drop(1012);
    await clock.pass(500);
    const next = latest().accept().hello();
    same(next.frames('join').map(frame => frame.since.offset), [11, 6], 'where we ask from');
    next.say({ t: 'joined', room: 'a', result: { epoch: 'e', offset: 14, newest: 14 } }, msg('a', 15));
    same([heard, room.position.at.offset], [['m11'], 11], 'before our own answer');
    next.joined('a', { epoch: 'e', offset: 11, newest: 15, resumed: true }).say(...[12, 13, 14, 15, 16].map(n => msg('a', n)));
    same(heard, ['m11', 'm12', 'm13', 'm14', 'm15', 'm16']);
  },

  async 'messages without a room are for the user'({ connect }) {
    const { client, heard, socket } = await standing(connect);
    const mine = [];
    client.on('msg', frame => mine.push(frame.data));
    socket.say({ t: 'msg', data: 'to you' });
    same([mine, heard], [['to you'], []]);
  },

  async 'bytes arrive and leave as bytes'({ connect }) {
    const { room, heard, socket } = await standing(connect);
    room.publish(new Uint8Array([0, 255, 16]));
    same(socket.sent.at(-1).b64, 'AP8Q');
    same('data' in socket.sent.at(-1), false);
    socket.say({ t: 'msg', room: 'a', offset: 11, b64: 'AP8Q' });
    same([heard[0] instanceof Uint8Array, [...heard[0]]], [true, [0, 255, 16]]);
  },

  async 'a publication is sent again with its mid until it is answered, in the order of the first time'({ connect }) {
    const { room, socket } = await standing(connect);
    const [one, two] = [room.publish('one'), room.publish('two', { echo: false })];
    const mids = socket.frames('pub').map(frame => frame.mid);
    same(new Set(mids).size, 2);
    socket.drop(1006);
    const three = room.publish('three'); // while there is no connection
    await clock.pass(500);
    const next = latest().accept();
    same(next.sent.map(frame => frame.data ?? frame.t), ['join', 'one', 'two', 'three']);
    same(next.frames('pub').slice(0, 2).map(frame => frame.mid), mids);
    next.hello();
    next.frames('pub').forEach(({ id }, n) => next.say({ t: 'ok', id, result: { epoch: 'e', offset: 11 + n, duplicate: n === 0 } }));
    same((await Promise.all([one, two, three])).map(result => result.offset), [11, 12, 13]);
    next.drop(1006);
    await clock.pass(1_000);
    same(latest().accept().frames('pub'), []);
  },

  async 'a page of history is its lines and its result, and begins anew on another connection'({ connect }) {
    const { room, heard, socket } = await standing(connect);
    const before = heard.length;
    const page = room.history({ after: 7, limit: 2 });
    const [{ id, ...asked }] = socket.frames('history');
    same(asked, { t: 'history', room: 'a', after: 7, limit: 2 });
    socket.say({ t: 'msg', id, room: 'a', offset: 8, data: 'old' });
    socket.drop(1006);
    await clock.pass(500);
    const next = latest().accept();
    next.hello();
    same(next.frames('history').map(frame => frame.id), [id]);
    next.say({ t: 'msg', id, room: 'a', offset: 8, data: 'one' });
    next.say({ t: 'msg', id, room: 'a', offset: 9, b64: 'AP8Q' });
    next.say({ t: 'ok', id, result: { epoch: 'e', more: true, oldest: 1, newest: 12 } });
    const { messages, ...result } = await page;
    same(result, { epoch: 'e', more: true, oldest: 1, newest: 12 });
    same([messages.length, messages[0].data, [...messages[1].data]], [2, 'one', [0, 255, 16]]);
    same(heard.length, before, 'nothing of it is live');
  },

  async 'a refusal that says when to ask again is asked again, another is told'({ connect }) {
    const { room, socket } = await standing(connect);
    const answer = outcome(room.publish('x'));
    const { id, mid } = socket.sent.at(-1);
    socket.say({ t: 'err', id, code: 'outcome_unknown', retry: 2_000 });
    await clock.pass(1_999);
    same(socket.frames('pub').length, 1);
    await clock.pass(1);
    same(socket.sent.at(-1).mid, mid);
    socket.say({ t: 'err', id, code: 'forbidden' });
    same(await answer, 'forbidden');
  },

  async 'what can\'t be sent, or isn\'t answered, fails with a code'({ connect }) {
    const { client, room, socket } = await standing(connect);
    same(await outcome(room.publish('é'.repeat(40_000))), 'too_big');
    same(socket.frames('pub').length, 0);
    const asked = Array.from({ length: 1_000 }, () => outcome(room.members()));
    same(await outcome(room.members()), 'busy');
    await clock.pass(29_999);
    latest().say({ t: 'ping' });
    await clock.pass(1);
    same(new Set(await Promise.all(asked)).size, 1);
    same(await asked[0], 'timeout');
    const last = outcome(room.publish('y'));
    client.close();
    same([await last, await outcome(room.publish('z')), client.state], ['closed', 'closed', 'closed']);
  },

  async 'after 1009 the biggest request isn\'t repeated'({ connect }) {
    const { room, socket } = await standing(connect);
    const [small, big] = [outcome(room.publish('s')), outcome(room.publish('b'.repeat(1_000)))];
    socket.drop(1009);
    same(await big, 'too_big');
    await clock.pass(500);
    same(latest().accept().frames('pub').map(frame => frame.data), ['s']);
    latest().say({ t: 'ok', id: latest().sent.at(-1).id, result: { offset: 1 } });
    same(await small, { offset: 1 });
  },

  async 'goaway: the old connection delivers until the new one answers, and nothing comes twice'({ connect }) {
    const { client, room, heard, socket } = await standing(connect);
    const mine = [];
    client.on('msg', frame => mine.push(frame.data));
    const other = client.join('b');
    const heardOther = transcript(other);
    socket.joined('b', { epoch: 'x', offset: 0, newest: 0 });
    const kept = room.publish('kept');
    socket.say({ t: 'goaway', after: 3_000 });
    await clock.pass(2_999);
    same(Socket.all.length, 1);
    socket.say(msg('a', 11));
    await clock.pass(1);
    const next = latest();
    same([Socket.all.length, next.protocols], [2, ['ringway.v1.json', 'session.s1']]);
    next.accept();
    same(next.frames('join').map(frame => frame.since.offset), [11, 0]);
    socket.say(msg('a', 12), { t: 'msg', data: 'old' });
    next.say({ t: 'msg', data: 'too early' });
    next.hello({ conn: 'd', session: 's2' });
    socket.say(msg('a', 13), { t: 'msg', data: 'too late' });
    next.say({ t: 'msg', data: 'new' });
    next.joined('a', { epoch: 'e', offset: 11, ts: 110, newest: 13, resumed: true });
    same(room.position.at.offset, 13, 'the position');
    socket.say(msg('a', 14)); // not any more
    next.say(msg('a', 12), msg('a', 13), { t: 'gap', room: 'a', reason: 'backplane', epoch: 'e', offset: 13 }, msg('a', 14), msg('a', 15));
    socket.say(msg('b', 1));
    same([socket.closedByClient, next.frames('pub').length], [undefined, 0], 'before all have moved');
    next.joined('b', { epoch: 'x', offset: 0, newest: 1, resumed: true }).say(msg('b', 1), msg('b', 2));
    same([socket.closedByClient, client.state, client.session], [true, 'open', 's2']);
    same(heard, ['m11', 'm12', 'm13', 'm14', 'm15']);
    same(heardOther, ['m1', 'm2']);
    same(mine, ['old', 'new']);
    next.say({ t: 'ok', id: next.frames('pub')[0].id, result: { offset: 16 } });
    same(await kept, { offset: 16 });
  },

  async 'goaway: after 10 s the old connection is closed though a join is unanswered'({ connect }) {
    const { heard, socket } = await standing(connect);
    socket.say({ t: 'goaway', after: 0 });
    await clock.pass(0);
    const next = latest().accept().hello();
    await clock.pass(9_999);
    socket.say(msg('a', 11));
    same(socket.closedByClient, undefined);
    await clock.pass(1);
    same(socket.closedByClient, true);
    next.joined('a', { epoch: 'e', offset: 10, newest: 11, resumed: true }).say(msg('a', 11), msg('a', 12));
    same(heard, ['m11', 'm12']);
  },

  async 'goaway: a new connection that fails is tried again while the old one stands'({ connect }) {
    const { client, heard, socket } = await standing(connect);
    socket.say({ t: 'goaway', after: 0 });
    await clock.pass(0);
    latest().drop(1013, 'overloaded retry=5000');
    socket.say(msg('a', 11));
    await clock.pass(4_999);
    same([Socket.all.length, client.state], [2, 'open']);
    await clock.pass(1);
    same(Socket.all.length, 3);
    latest().drop(4403);
    socket.say(msg('a', 12));
    same([heard, client.state], [['m11', 'm12'], 'open'], 'refused, but the old one stands');
    socket.drop(1012);
    await clock.pass(20_000);
    latest().drop(4403);
    same(client.state, 'closed');
  },

  async 'goaway: the old one may end first, replaced by our own session, and it is no end'({ connect }) {
    for (const [code, accepted] of [[4409, true], [1012, true], [1012, false]]) {
      const { client, socket } = await standing(connect);
      const sockets = Socket.all.length;
      socket.say({ t: 'goaway', after: 0 });
      await clock.pass(0);
      const next = latest();
      if (accepted) next.accept();
      const answer = client.publish('a', code);
      socket.drop(code);
      if (!accepted) next.accept();
      same([Socket.all.length, next.frames('pub').length], [sockets + 1, 1], `${code} ${accepted}`);
      next.say({ t: 'ok', id: next.sent.at(-1).id });
      await answer;
      client.close();
    }
  },

  async 'silence for ping + 10 s means a new connection'({ connect }) {
    const { client, socket } = await standing(connect);
    await clock.pass(30_000);
    socket.say({ t: 'ping' });
    await clock.pass(34_999);
    same([Socket.all.length, client.state], [1, 'open']);
    await clock.pass(1);
    same([socket.closedByClient, client.state], [true, 'reconnecting']);
    await clock.pass(500);
    same(Socket.all.length, 2);
    await clock.pass(15_500); // no hello: that one is given up, too
    same(Socket.all.length, 3);
  },

  async 'back-off: full jitter from 0.5 s to 20 s, reset after 30 s of standing'({ connect }) {
    const { client, socket } = await standing(connect);
    const delays = [];
    client.on('state', ({ state, delay }) => state === 'reconnecting' && delays.push(delay));
    clock.random = 0.999;
    let current = socket;
    for (let n = 0; n < 8; n += 1) {
      current.drop(1006);
      await clock.pass(delays.at(-1));
      current = latest();
    }
    same(delays.map(Math.round), [500, 999, 1998, 3996, 7992, 15984, 19980, 19980]);
    current.accept().hello();
    await clock.pass(29_999);
    current.drop(1006);
    same(Math.round(delays.at(-1)), 19_980, 'just short of 30 s');
    await clock.pass(delays.at(-1));
    latest().accept().hello();
    await clock.pass(30_000);
    clock.random = 0;
    latest().drop(1006);
    same(delays.at(-1), 0, 'after 30 s');
  },

  async 'the server\'s hint goes before the jitter'({ connect, backoff }) {
    const { socket } = await standing(connect);
    socket.drop(1013, 'limit_connections retry=4000');
    await clock.pass(3_999);
    same(Socket.all.length, 1);
    await clock.pass(1);
    same(Socket.all.length, 2);
    same([backoff(3, 'retry=999999999999'), backoff(0, 'noretry=5') < 500, backoff(2_000) <= 20_000], [3_600_000, true, true]);
  },

  async 'every close code is followed as the table says'({ connect, advice }) {
    const table = {
      stop: [1000, 1002, 1003, 1007, 4000, 4001, 4403, 4404, 4409, 4410, 4499],
      return: [1001, 1005, 1006, 1008, 1009, 1011, 1012, 1013, 1014, 1015, 3000, 4500, 4999],
      token: [4401],
    };
    for (const [what, codes] of Object.entries(table)) for (const code of codes) same(advice(code), what, code);
    for (const code of table.stop) {
      const { client, heard, socket } = await standing(connect);
      const sockets = Socket.all.length;
      socket.drop(code);
      await clock.pass(60_000);
      same([client.state, heard, Socket.all.length], ['closed', ['left closed'], sockets], code);
    }
  },

  async '4401: back only with a new token'({ connect }) {
    const tokens = ['one', 'two', 'two'];
    const { client, socket } = await standing(connect, { token: async () => tokens.shift() });
    same(socket.protocols[1], 'bearer.one');
    socket.drop(1012);
    await clock.pass(500);
    same(latest().protocols[1], 'bearer.one', 'kept while it is good');
    latest().drop(4401, 'expired');
    await clock.pass(1_000);
    same(latest().protocols[1], 'bearer.two');
    const sockets = Socket.all.length;
    latest().drop(4401, 'expired');
    await clock.pass(60_000);
    same([client.state, Socket.all.length, tokens], ['closed', sockets, []]);
    const fixed = await standing(connect, { token: 'fixed' });
    fixed.socket.drop(4401, 'expired');
    await clock.pass(60_000);
    same([fixed.client.state, Socket.all.length], ['closed', sockets + 1]);
  },

  async 'a token that can\'t be had for now is asked for again'({ connect }) {
    let asked = 0;
    const client = connect('wss://ringway.test', { WebSocket: Socket, token: () => {
      asked += 1;
      if (asked < 3) throw new Error('offline');
      return 'jwt';
    } });
    await clock.pass(3_000);
    same([asked, client.state, latest().protocols[1]], [3, 'reconnecting', 'bearer.jwt']);
  },

  async 'a membership may be refused, ended, or put off'({ connect }) {
    const { client, room, heard, socket } = await standing(connect);
    const refused = client.join('secret');
    socket.say({ t: 'err', id: socket.sent.at(-1).id, room: 'secret', code: 'forbidden' });
    same([await outcome(refused.ready), client.rooms.has('secret')], ['forbidden', false]);
    socket.say({ t: 'left', room: 'a', code: 'unavailable', retry: 700 });
    await clock.pass(700);
    same(socket.sent.at(-1), { t: 'join', id: socket.sent.at(-1).id, room: 'a', since: { epoch: 'e', offset: 10, ts: 100 } });
    socket.joined('a', { epoch: 'e', offset: 10, newest: 10, resumed: true }).say(msg('a', 11), { t: 'left', room: 'a', code: 'kicked' }, msg('a', 12));
    same(heard, ['m11', 'left kicked']);
    same([client.rooms.size, await outcome(room.ready)], [0, { epoch: 'e', offset: 10, ts: 100, newest: 10 }]);
  },

  async 'leave and join again is a new membership'({ connect }) {
    const { client, room, heard, socket } = await standing(connect);
    room.leave();
    const again = client.join('a');
    const heardAgain = transcript(again);
    socket.say(msg('a', 11));
    socket.joined('a', { epoch: 'e', offset: 11, newest: 11 }).say(msg('a', 12));
    room.leave(); // has no say any more
    same([heard, heardAgain, socket.sent.map(frame => frame.t)], [['left left'], ['m12'], ['join', 'leave', 'join']]);
  },

  async 'a handler that throws stops nobody'({ connect }) {
    const { room, heard, socket } = await standing(connect);
    const thrown = [];
    addEventListener('error', event => thrown.push(event.error.message) && event.preventDefault());
    room.on('msg', () => { throw new Error('mine'); });
    const end = room.on('msg', () => heard.push('second'));
    socket.say(msg('a', 11));
    end();
    socket.say(msg('a', 12));
    await settled();
    same([heard, thrown], [['m11', 'second', 'm12'], ['mine', 'mine']]);
  },

  async 'for await gives messages and gaps, loses the oldest where it lags, and ends with the room'({ connect }) {
    const { room, socket } = await standing(connect);
    const heard = [];
    const reading = (async () => {
      for await (const frame of room) heard.push(frame.t === 'msg' ? frame.data : `${frame.reason} ${frame.lost}`);
    })();
    await settled();
    socket.say(msg('a', 11), { t: 'gap', room: 'a', reason: 'slow', epoch: 'e', offset: 20, lost: 9 });
    await settled();
    same(heard, ['m11', 'slow 9']);
    socket.say(...Array.from({ length: 1_001 }, (_, n) => msg('a', 21 + n)));
    room.leave();
    await reading;
    same(heard, ['m11', 'slow 9', 'slow 1000', 'm1021']);
  },

  async 'presence and unknown frames do no harm'({ connect }) {
    const { room, heard, socket } = await standing(connect);
    let counts;
    room.on('presence', ({ count, users }) => (counts = [count, users]));
    socket.say({ t: 'presence', room: 'a', joined: [{ conn: 'x', user: '__proto__' }], count: 3, users: 2 });
    socket.say({ t: 'of a later release', room: 'a' }, { t: 'ping' }, { t: 'ok' }, { t: 'ok', id: 12_345 }, msg('never joined', 1), msg('a', 11));
    same([counts, heard], [[3, 2], ['m11']]);
  },
};

export const names = Object.keys(tests);

/** Runs one; what went wrong, or nothing. */
export async function run(name) {
  clock.install();
  try {
    await tests[name](await import('/ringway.js'));
    return null;
  } catch (error) {
    return String(error?.stack ?? error);
  }
}
