/**
 * Ringway for browsers, and for whatever else has `WebSocket` (Node 22, Deno, Bun): one module, nothing to install.
 *
 *   import { connect } from './ringway.js';
 *   const ringway = connect('wss://chat.example', { token: () => fetchToken() });
 *   const lobby = ringway.join('lobby', { last: 50 });
 *   lobby.on('msg', msg => console.log(msg.user, msg.data));   // or: for await (const msg of lobby) …
 *   await lobby.publish({ text: 'hello' });                    // { offset, epoch }
 *
 * Options: `token` (a string, or a function that gives one or its promise), `session` (to go on as an earlier client),
 * `room` (the home room; else the first one joined), `tenant`, `user` (where authentication is off), `WebSocket` (a class).
 * Events: `state`, `hello`, `msg` (to this user, or to all), `room` (the server joined you), `err`; of a room: `joined`,
 * `msg`, `gap`, `presence`, `left`. Errors have a `code`: the server's, or `timeout`, `too_big`, `busy`, `closed`, `left`.
 */
const HELLO_WITHIN = 15_000; // ms from opening a socket to its `hello`
const GRACE = 10_000; // ms of silence beyond `hello.ping` until a connection is dead; and for a hand-over to be done
const STANDING = 30_000; // ms after which a connection was a good one, and the back-off begins anew
const ANSWER_WITHIN = 30_000; // ms; the server knows a repeated `mid` for about as long
const MOST_WAITING = 1_000; // requests without an answer; messages that a `for await` hasn't taken yet
const STOP = [1000, 1002, 1003, 1007]; // and 4000–4499. All other close codes say: come back

export const connect = (url, options) => new Client(url, options);

/** What a close code asks for: 'stop', 'token' (come back only with a new one) or 'return'. */
export const advice = code =>
  code === 4401 ? 'token' : STOP.includes(code) || (code >= 4000 && code < 4500) ? 'stop' : 'return';
/** How long to stay away, in ms: `retry=MS` where the server said so, else anything up to 0.5, 1, 2, 4 … 20 s. */
export function backoff(attempt, reason = '') {
  const hint = /\bretry=(\d+)/.exec(reason);
  return hint ? Math.min(hint[1], 3_600_000) : Math.random() * Math.min(20_000, 500 * 2 ** attempt);
}
const refusal = ({ code, message }) => Object.assign(new Error(message ? `${code}: ${message}` : code), { code });

/** Our place in a room, by the resume rule. `message` and `gap` say whether the frame is news to the application. */
export class Position {
  at; // { epoch, offset, ts }: what a join's `since` wants back
  seen = -1; // the greatest offset handed on in this epoch
  floor = -1; // what that was when the join was answered: what isn't above it is a duplicate
  answered(result) {
    this.place(result);
    this.floor = this.seen;
  }
  place({ epoch, offset, ts, newest, resumed }) {
    if (epoch === undefined) return; // the room's holder wasn't reached: ours stays, a `gap` brings another
    const same = this.at?.epoch === epoch;
    if (same && resumed && offset <= this.at.offset) return; // the old connection brought us further meanwhile
    if (!same || newest < this.seen) this.seen = -1;
    this.at = { epoch, offset, ts };
  }
  message({ offset, ts }) {
    if (offset === undefined || !this.at) return true; // not part of a history, or we don't know of which
    if (offset <= this.floor) return false;
    this.seen = Math.max(this.seen, offset);
    if (offset > this.at.offset) this.at = { epoch: this.at.epoch, offset, ts };
    return true;
  }
  gap({ epoch, offset, ts, reason }) {
    if (this.at?.epoch !== epoch) this.seen = this.floor = -1;
    else if (offset <= this.at.offset) return reason === 'truncated'; // else it tells of nothing that we miss
    this.at = { epoch, offset, ts };
    return true;
  }
}

class Emitter {
  listeners = new Set();
  /** Calls `handler` at each such event. Returns a function that ends it. */
  on(event, handler) {
    const listener = { event, handler };
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  emit(event, detail) {
    for (const listener of [...this.listeners].filter(each => each.event === event))
      try { listener.handler(detail); } catch (error) { queueMicrotask(() => { throw error; }); } // shown, but not our end
  }
}

class Room extends Emitter {
  position = new Position();
  link = null; // the connection that we take this room's frames from
  constructor(client, name, { since, ...options } = {}) {
    super();
    Object.assign(this, { client, name, options });
    this.position.at = since;
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject })); // the first answer
    this.ready.catch(() => {}); // who doesn't wait for it hears `left`
  }
  publish = (data, options) => this.client.publish(this.name, data, options);
  members = options => this.client.request({ t: 'members', room: this.name, ...options });
  /** A page of a durable room's history: `{ messages, more, oldest, newest, epoch }`. Options: `after`, `before`, `limit`. */
  history = options => this.client.request({ t: 'history', room: this.name, ...options });
  leave = () => this.client.rooms.get(this.name) === this && this.client.forget(this, { code: 'left' });
  answered(link, result) {
    if (this.link?.number > link.number) return; // a newer connection answered already
    this.link = link;
    this.position.answered(result);
    this.resolve(result);
    this.emit('joined', result);
  }
  /** `msg` and `gap` frames until the room is left. Who lags too far behind gets a `gap` instead of what waited. */
  async *[Symbol.asyncIterator]() {
    let [queue, left, wake] = [[], false, () => {}];
    const put = frame => {
      if (queue.length === MOST_WAITING) queue = [{ t: 'gap', room: this.name, reason: 'slow', lost: MOST_WAITING }];
      wake(queue.push(frame));
    };
    const off = [this.on('msg', put), this.on('gap', put), this.on('left', () => wake((left = true)))];
    try {
      while (queue.length || !left)
        if (queue.length) yield queue.shift();
        else await new Promise(resolve => (wake = resolve));
    } finally { off.forEach(end => end()); }
  }
}

/** One WebSocket, and what we know of it. Decides nothing. */
class Link {
  joining = new Map(); // id -> room, of the joins without an answer
  standing = Infinity; // since when `hello` is here
  heard = performance.now(); patience = HELLO_WITHIN;
  constructor(client, number, url, protocols) {
    Object.assign(this, { client, number });
    this.socket = new (client.options.WebSocket ?? WebSocket)(url, protocols);
    this.socket.onopen = () => client.opened(this);
    this.socket.onclose = ({ code, reason }) => client.lost(this, code, reason);
    this.socket.onmessage = ({ data }) => client.receive(this, JSON.parse(data));
    this.watch();
  }
  watch() { // the heartbeat
    const left = this.heard + this.patience - performance.now();
    if (left > 0) this.timer = setTimeout(() => this.watch(), left);
    else this.client.lost(this, 1006, 'nothing heard');
  }
  get open() { return this.socket.readyState === 1; }
  send(frame) { if (this.open) this.socket.send(JSON.stringify(frame)); }
  end() { // without waiting for the peer's goodbye, which over a dead network takes minutes
    [this.timer, this.moving].forEach(clearTimeout);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }
}

class Client extends Emitter {
  state = 'connecting'; // then `open`, `reconnecting`, `closed`
  rooms = new Map(); // by name. A Map, not an object: a room may be called `__proto__`
  waiting = new Map(); // id -> request without an answer; outlives connections
  current = null; // the connection that requests go to
  next = null; // the one that is being opened
  personal = null; // the one whose messages to the user count
  attempt = 0; lastId = 0; lastLink = 0;
  prefix = Array.from(crypto.getRandomValues(new Uint8Array(12)), byte => byte.toString(16).padStart(2, '0')).join('');
  constructor(url, options = {}) {
    super();
    Object.assign(this, { url, options, session: options.session });
    queueMicrotask(() => this.dial()); // after the rooms that are joined right after `connect`
  }
  /** Joins a room, here and after each reconnect. Options: `last`, `since`, `state`. `room.ready` tells the outcome. */
  join(name, options) {
    const room = this.rooms.get(name) ?? new Room(this, name, options);
    if (!this.rooms.has(name)) for (const link of this.links()) this.sendJoin(link, room);
    this.rooms.set(name, room);
    return room;
  }
  mid = () => `${this.prefix}-${++this.lastId}`; // an id for a publication, never used before
  /** Publishes; repeated with the same `mid` until answered. Options: `event`, `key`, `mid`, `echo`, `store`. */
  publish(room, data = null, options = {}) {
    const text = bytes => Array.from(bytes, byte => String.fromCharCode(byte)).join('');
    const payload = data instanceof Uint8Array ? { b64: btoa(text(data)) } : { data };
    return this.request({ t: 'pub', room, ...payload, mid: this.mid(), ...options });
  }
  /** Sends a frame, again after each reconnect, until it is answered. Gives the `result`. */
  request(frame) {
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      const size = new TextEncoder().encode(JSON.stringify({ ...frame, id })).length;
      const settle = answer => {
        clearTimeout(timer);
        this.waiting.delete(id);
        const lines = frame.t === 'history' && { messages: asked.lines };
        answer.t === 'ok' ? resolve({ ...lines, ...answer.result }) : reject(refusal(answer));
      };
      const asked = { frame: { ...frame, id }, size, settle, lines: [] };
      const timer = setTimeout(settle, ANSWER_WITHIN, { code: 'timeout', message: 'the outcome is unknown' });
      if (this.state === 'closed') return settle({ code: 'closed' });
      if (this.waiting.size >= MOST_WAITING) return settle({ code: 'busy' });
      if (size > (this.hello?.limits.frame ?? 65_536)) return settle({ code: 'too_big' });
      this.waiting.set(id, asked);
      this.current?.send({ ...frame, id });
    });
  }
  close = () => this.finish({ code: 1000, reason: 'closed by the application' });

  // How it works: dial -> opened -> receive … -> lost -> dial. After `goaway`: dial -> opened -> receive … -> adopt.
  links = () => [this.current, this.next].filter(link => link?.open);
  async dial() {
    try {
      const { token, room = this.rooms.keys().next().value, tenant, user } = this.options;
      this.token ??= typeof token === 'function' ? await token() : token;
      if (this.next || this.state === 'closed') return;
      if (this.refused && this.token === this.refused) return this.finish({ code: 4401, reason: 'no new token' });
      const url = new URL(this.url, globalThis.location?.href);
      url.protocol = url.protocol.replace('http', 'ws');
      if (url.pathname === '/') url.pathname = '/v1/ws';
      const query = Object.entries({ room, tenant, user, client: 'ringway.js/0.1' });
      for (const [name, value] of query) if (value !== undefined) url.searchParams.set(name, value);
      const secrets = [this.token && `bearer.${this.token}`, this.session && `session.${this.session}`];
      this.next = new Link(this, ++this.lastLink, url.href, ['ringway.v1.json', ...secrets.filter(Boolean)]);
    } catch (error) { this.dialLater(backoff(this.attempt++), { reason: String(error) }); } // no token for now
  }
  dialLater(delay, detail) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dial(), delay);
    if (!this.current) this.become('reconnecting', { ...detail, delay });
  }
  opened(link) { // frames needn't wait for `hello`
    for (const room of this.rooms.values()) this.sendJoin(link, room);
    if (!this.current) this.adopt(link);
    else link.moving = setTimeout(() => this.adopt(link), GRACE);
  }
  adopt(link) { // requests go there from now on, and those without an answer once more, in their order
    this.current?.end();
    clearTimeout(link.moving);
    [this.current, this.next] = [link, null];
    for (const asked of this.waiting.values()) {
      asked.lines = []; // a page begins anew
      link.send(asked.frame);
    }
    if (link.leaving) this.dialLater(Math.max(0, link.leaving - performance.now()));
  }
  lost(link, code, reason) {
    link.end();
    const successor = link === this.current ? this.next : null;
    this[link === this.current ? 'current' : 'next'] = null;
    if (performance.now() - link.standing >= STANDING) this.attempt = 0;
    if (code === 1009) [...this.waiting.values()].sort((a, b) => b.size - a.size)[0]?.settle({ code: 'too_big' });
    let what = code === 4409 && successor ? 'return' : advice(code); // that we are replaced by our own successor is well
    if (what === 'token' && typeof this.options.token === 'function')
      [what, this.refused, this.token] = ['return', this.token, undefined];
    if (what !== 'return') return this.current || this.finish({ code, reason }); // while the old one stands, go on there
    if (!successor) this.dialLater(backoff(this.attempt++, reason), { code, reason });
    else if (successor.open) this.adopt(successor);
    else this.become('reconnecting', { code, reason, delay: 0 });
  }
  sendJoin(link, room) {
    link.joining.set(++this.lastId, room);
    link.send({ t: 'join', id: this.lastId, room: room.name, since: room.position.at, ...room.options });
  }
  receive(link, frame) {
    link.heard = performance.now();
    let room = this.rooms.get(frame.room);
    const mine = room?.link === link;
    const asked = () => [...link.joining.values()].includes(room);
    if (frame.b64 !== undefined) frame.data = Uint8Array.from(atob(frame.b64), char => char.charCodeAt(0));
    if (frame.t === 'hello') {
      Object.assign(this, { hello: frame, session: frame.session, personal: link, refused: undefined });
      Object.assign(link, { hello: frame, standing: performance.now(), patience: frame.ping * 1_000 + GRACE });
      this.emit('hello', frame);
      this.become('open', frame);
    } else if (frame.t === 'msg' && frame.id !== undefined) { // a line of a history page
      if (link === this.current) this.waiting.get(frame.id)?.lines.push(frame);
    } else if (frame.t === 'msg') {
      if (frame.room === undefined) link === this.personal && this.emit('msg', frame);
      else if (mine && room.position.message(frame)) room.emit('msg', frame);
    } else if (frame.t === 'gap' || frame.t === 'presence') {
      if (mine && (frame.t === 'presence' || room.position.gap(frame))) room.emit(frame.t, frame);
    } else if (frame.t === 'joined') { // by the server. What we hold and what we ask for ourselves goes before that
      if (!room) this.emit('room', this.rooms.set(frame.room, (room = new Room(this, frame.room))) && room);
      if (frame.result.resumed || !(asked() || room.position.at)) room.answered(link, frame.result);
      else if (!mine && !asked()) this.sendJoin(link, room);
    } else if (frame.t === 'left') {
      if (mine && !asked()) this.ended(link, room, frame);
      else if (!room) this.emit('err', frame); // a home room that we may not join
    } else if (frame.t === 'goaway') {
      link.leaving = performance.now() + frame.after;
      if (link === this.current) this.dialLater(frame.after);
    } else if (frame.t === 'ok' || frame.t === 'err') this.answered(link, frame);
    if (link === this.next && link.hello && link.joining.size === 0) this.adopt(link); // all moved over
  }
  answered(link, frame) {
    const [room, request] = [link.joining.get(frame.id), this.waiting.get(frame.id)];
    link.joining.delete(frame.id);
    if (room && this.rooms.get(room.name) !== room) return; // left meanwhile
    if (room && frame.t === 'ok') room.answered(link, frame.result);
    else if (room) this.ended(link, room, frame);
    else if (request && frame.retry === undefined) request.settle(frame);
    else if (request) setTimeout(() => this.waiting.has(frame.id) && this.current?.send(request.frame), frame.retry);
    else if (frame.t === 'err' && frame.id === undefined) this.emit('err', frame);
  }
  ended(link, room, frame) { // for good, or for now where the server says when to ask again
    if (frame.retry === undefined) return this.forget(room, frame, link);
    if (room.link === link) room.link = null;
    setTimeout(() => this.rooms.get(room.name) === room && link.open && this.sendJoin(link, room), frame.retry);
  }
  forget(room, frame, except) {
    this.rooms.delete(room.name);
    for (const link of this.links()) if (link !== except) link.send({ t: 'leave', id: ++this.lastId, room: room.name });
    room.reject(refusal(frame));
    room.emit('left', frame);
  }
  become(state, detail) {
    this.state = state;
    this.emit('state', { state, ...detail });
  }
  finish(detail) {
    if (this.state === 'closed') return;
    clearTimeout(this.timer);
    for (const link of [this.current, this.next]) link?.end();
    this.current = this.next = null;
    this.become('closed', detail);
    for (const room of this.rooms.values()) this.forget(room, { code: 'closed' });
    for (const { settle } of this.waiting.values()) settle({ code: 'closed' });
  }
}
