/** A node dies under two windows whose sockets a gateway holds: they only pause. */
import { readFile } from 'node:fs/promises';
import { Cluster } from './cluster.mjs';
import { Window, same } from './window.mjs';

/** A gateway serves no page: these files are put in its place, so that the page is of the same origin as its socket. */
const PAGE = { '/': ['index.html', 'text/html'], '/ringway.js': ['ringway.js', 'text/javascript'] };

export async function relayTests({ browser, test, screenshots, ringway, nats, page }) {
  const files = {};
  for (const [path, [name, contentType]] of Object.entries(PAGE))
    files[path] = { body: await readFile(`${page}/${name}`), contentType: `${contentType}; charset=utf-8` };

  await test('relay: the node is killed under two windows, both only pause, nothing is lost or doubled', async () => {
    const cluster = await Cluster.start({ ringway, nats });
    try {
      const room = `kept-${Math.random().toString(36).slice(2, 8)}`;
      const open = (name, dark) => Window.open(browser, cluster.base, name, { room, dark, files, watched: true });
      const [ann, bob] = [await open('Ann', false), await open('Bob', true)];
      await ann.say('Shall we kill the node that we are on?');
      await bob.shows(['Shall we kill the node that we are on?']);
      await bob.say('Go on, I keep talking meanwhile.');
      await ann.shows(['Shall we kill the node that we are on?', 'Go on, I keep talking meanwhile.']);
      await Promise.all([ann.here(2), bob.here(2)]);
      const lost = await ann.node();
      same(await bob.node(), lost, 'the node of the same room');

      const talking = (async () => {
        for (let n = 1; n <= 60; n += 1) {
          await bob.say(`message ${n}`);
          await new Promise(resolve => setTimeout(resolve, 50)); // the pace of the talk, nothing is waited for
        }
      })();
      await ann.page.waitForFunction(() => document.querySelectorAll('#messages li.theirs').length > 5);
      await cluster.kill(lost);
      await ann.picture(screenshots, '8-killed-ann');
      await talking;
      await ann.page.waitForFunction(() => [...document.querySelectorAll('#messages li')].some(item => item.firstChild.textContent === 'message 60'));
      await bob.page.waitForFunction(() => !document.querySelector('#messages li.waiting'));

      const said = Array.from({ length: 60 }, (_, n) => `message ${n + 1}`);
      const talk = async window => (await window.shown()).filter(text => /message \d/.test(text));
      const numbers = texts => texts.map(text => Number(text.replace('message ', ''))).toSorted((a, b) => a - b);
      // What was under way when the node died is said again, and may come behind what was said after it.
      same(numbers(await talk(ann)), numbers(said), 'what Ann heard');
      same(await talk(bob), said, 'what Bob said');
      for (const window of [ann, bob]) {
        same(await window.states(), ['open'], 'the states that it went through');
        same(await window.sockets(), 1, 'the sockets that it opened');
        same(await window.notices('lost', 'moved', 'resumed', 'renewed', 'warning'), [], 'what it told');
        await window.here(2);
      }
      await ann.say('And here we are still.');
      await bob.page.waitForFunction(() => document.querySelector('#messages').textContent.includes('here we are still'));
      await ann.picture(screenshots, '9-only-paused-ann');
      await bob.picture(screenshots, '9-only-paused-bob');
      await ann.close();
      await bob.close();
    } finally {
      await cluster.stop();
    }
  });
}
