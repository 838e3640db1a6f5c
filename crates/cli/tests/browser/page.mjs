/** The page of `ringway dev`, as people use it: two windows that talk, count who is here, and survive the loss of a node. */
import { Window, same } from './window.mjs';

export async function pageTests({ browser, base, test, screenshots }) {
  const fresh = what => `${what}-${Math.random().toString(36).slice(2, 8)}`;

  await test('page: two windows talk both ways, and each message is shown once', async () => {
    const room = fresh('talk');
    const [ann, bob] = [await Window.open(browser, base, 'Ann', { room }), await Window.open(browser, base, 'Bob', { room })];
    await ann.say('hello Bob');
    await bob.shows(['hello Bob']);
    await bob.say('hello Ann');
    await ann.say('<b>not bold</b> & é 👋');
    const all = ['hello Bob', 'hello Ann', '<b>not bold</b> & é 👋'];
    await Promise.all([ann.page.waitForFunction(() => document.querySelectorAll('#messages li:not(.notice)').length === 3), bob.shows(all)]);
    same((await ann.shown()).toSorted(), all.toSorted(), 'what Ann sees');
    same(await ann.page.textContent('#messages li.theirs small').then(text => text.split(' · ')[0]), 'Bob');
    same(/^epoch \S+ · offset \d+$/.test(await ann.page.textContent('#position')), true, 'a position is shown');
    await ann.close();
    await bob.close();
  });

  await test('page: it shows how many are here, and which node serves', async () => {
    const room = fresh('count');
    const ann = await Window.open(browser, base, 'Ann', { room });
    await ann.here(1);
    const bob = await Window.open(browser, base, 'Bob', { room });
    const eve = await Window.open(browser, base, 'Eve', { room });
    await Promise.all([ann.here(3), bob.here(3), eve.here(3)]);
    await eve.close();
    await Promise.all([ann.here(2), bob.here(2)]);
    const { nodes } = await ann.page.evaluate(async () => ({ nodes: (await (await fetch('/dev/nodes')).json()).map(node => node.id) }));
    same(nodes.includes(await ann.node()), true, 'a node of the list serves');
    same(await bob.node(), await ann.node(), 'the node of the same room');
    await ann.close();
    await bob.close();
  });

  await test('page: who comes later sees what was said just before', async () => {
    const room = fresh('late');
    const ann = await Window.open(browser, base, 'Ann', { room });
    await ann.say('one');
    await ann.say('two');
    await ann.shows(['one', 'two']);
    const bob = await Window.open(browser, base, 'Bob', { room });
    await bob.shows(['one', 'two']);
    await ann.close();
    await bob.close();
  });

  await test('page: a room may be called anything', async () => {
    for (const room of ['__proto__', 'constructor', 'a/../b?c=d&e#f', '{tag}.x +%2F', '👩‍👩‍👧'.repeat(10)]) {
      const [ann, bob] = [await Window.open(browser, base, 'Ann', { room }), await Window.open(browser, base, 'Bob', { room })];
      same(await ann.page.textContent('#room'), room);
      await ann.say('here?');
      await bob.shows(['here?']);
      await ann.close();
      await bob.close();
    }
  });

  await test('page: without /dev/nodes there is no panel', async () => {
    const ann = await Window.open(browser, base, 'Ann', { room: fresh('plain'), noNodes: true });
    await ann.here(1);
    same(await ann.page.isVisible('#nodes'), false);
    await ann.close();
  });

  await test('page: a cut is shown, and what was said meanwhile comes after it', async () => {
    const room = fresh('cut');
    let cut;
    const ann = await Window.open(browser, base, 'Ann', {
      room,
      between: socket => {
        const server = socket.connectToServer();
        cut = async () => {
          await server.close({ code: 1000 });
          await socket.close({ code: 1012, reason: 'restart retry=1500' });
        };
      },
    });
    const bob = await Window.open(browser, base, 'Bob', { room });
    await bob.say('before');
    await ann.shows(['before']);
    await ann.here(2);
    await cut();
    await ann.state('reconnecting');
    await bob.say('meanwhile');
    await ann.say('from outside');
    await ann.picture(screenshots, '7-reconnecting-ann');
    await ann.state('resumed');
    await bob.shows(['before', 'meanwhile', 'from outside']);
    await ann.page.waitForFunction(() => !document.querySelector('#messages li.waiting'));
    same((await ann.shown()).toSorted(), ['before', 'from outside', 'meanwhile'], 'what Ann sees');
    same(await ann.notices('resumed').then(([text]) => /^resumed on \S+: 1 missed/.test(text)), true, 'one missed');
    await ann.state('open');
    await ann.close();
    await bob.close();
  });

  await test('page: the node that serves is stopped, both move, nothing is lost or doubled', async () => {
    const room = fresh('lobby');
    const ann = await Window.open(browser, base, 'Ann', { room });
    const bob = await Window.open(browser, base, 'Bob', { room, dark: true });
    await ann.say('Shall we stop the node that we are on?');
    await bob.shows(['Shall we stop the node that we are on?']);
    await bob.say('Go on, I keep talking meanwhile.');
    await ann.shows(['Shall we stop the node that we are on?', 'Go on, I keep talking meanwhile.']);
    await Promise.all([ann.here(2), bob.here(2)]);
    const lost = await ann.node();
    await ann.picture(screenshots, '1-two-windows-ann-light');
    await bob.picture(screenshots, '2-two-windows-bob-dark');

    const talking = (async () => {
      for (let n = 1; n <= 40; n += 1) {
        await bob.say(`message ${n}`);
        await new Promise(resolve => setTimeout(resolve, 50)); // the pace of the talk, nothing is waited for
      }
    })();
    await ann.page.waitForFunction(() => document.querySelectorAll('#messages li.theirs').length > 5);
    await ann.page.click(`#nodes button[data-node="${lost}"]`);
    // Told to go, they move before they are cut; on a machine too busy for that they are cut, and resume.
    await Promise.all([ann.notice('moved', 'resumed'), bob.notice('moved', 'resumed')]);
    await ann.picture(screenshots, '3-moved-ann');
    await bob.picture(screenshots, '4-moved-bob');
    await talking;

    const said = Array.from({ length: 40 }, (_, n) => `message ${n + 1}`);
    const talk = async window => (await window.shown()).filter(text => /message \d/.test(text));
    await ann.page.waitForFunction(() => [...document.querySelectorAll('#messages li')].some(item => item.firstChild.textContent === 'message 40'));
    await bob.page.waitForFunction(() => !document.querySelector('#messages li.waiting'));
    same(await talk(ann), said, 'what Ann heard');
    same(await talk(bob), said, 'what Bob said');
    for (const window of [ann, bob]) {
      same((await window.node()) === lost, false, 'on another node');
      same((await window.notices('moved', 'resumed')).length, 1, 'how it came there, told once');
      same((await window.notices('lost')).length, (await window.notices('resumed')).length, 'cuts told, and resumes');
      same(await window.notices('warning'), [], 'warnings');
      await window.here(2);
    }
    const button = ann.page.locator(`#nodes button[data-node="${lost}"]`);
    if (await button.count()) same(await button.isDisabled(), true, 'stopped only once');
    await ann.say('And here we are again.');
    await bob.page.waitForFunction(() => document.querySelector('#messages').textContent.includes('here we are again'));
    await ann.picture(screenshots, '5-after-ann');
    await bob.picture(screenshots, '6-after-bob');
    await ann.close();
    await bob.close();
  });
}
