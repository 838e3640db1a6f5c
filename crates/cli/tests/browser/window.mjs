/** A page in a window, as one person has it, and what it shows. */
import { join } from 'node:path';

const WITHIN = 15_000; // ms for anything that a person would wait for

export function same(actual, expected, what = 'it') {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what} is ${a}, not ${b}`);
}

const noticeOf = kinds => kinds.map(kind => `#messages li.notice[data-kind=${kind}]`).join(', ');

/** In the page: notes each state that it shows. */
function watchState() {
  window.statesSeen = [];
  document.addEventListener('DOMContentLoaded', () => {
    const state = document.getElementById('state');
    const note = () => {
      const now = state.dataset.state;
      if ((now === 'open' || window.statesSeen.length) && now !== window.statesSeen.at(-1)) window.statesSeen.push(now);
    };
    new MutationObserver(note).observe(state, { attributes: true });
    note();
  });
}

/** One person's window: a browser context of its own, with nothing shared. */
export class Window {
  static async open(browser, base, name, { room = 'lobby', dark = false, noNodes = false, between, files = {}, watched = false } = {}) {
    const context = await browser.newContext({ colorScheme: dark ? 'dark' : 'light', viewport: { width: 640, height: 720 } });
    const page = await context.newPage();
    const window = Object.assign(new Window(), { context, page, faults: [], opened: 0 });
    page.on('pageerror', error => window.faults.push(String(error)));
    page.on('request', request => {
      if (!request.url().startsWith(base) && !request.url().startsWith('data:')) window.faults.push(`asks for ${request.url()}`);
    });
    if (between) await page.routeWebSocket(/\/v1\/ws/, between);
    for (const [path, answer] of Object.entries(files))
      await page.route(url => url.origin === base && url.pathname === path, route => route.fulfill(answer));
    page.on('websocket', () => (window.opened += 1));
    if (watched) await page.addInitScript(watchState);
    if (noNodes) await page.route('**/dev/nodes', route => route.fulfill({ status: 404 }));
    await page.goto(`${base}/?${new URLSearchParams({ room, name })}`);
    await window.state('open');
    return window;
  }
  /** Waits for the state that the page shows. */
  state = (...states) =>
    this.page.waitForFunction(states => states.includes(document.getElementById('state').dataset.state), states, { timeout: WITHIN });
  /** Waits for the number of those who are here. */
  here = count =>
    this.page.waitForFunction(count => document.querySelector('#here b').textContent === count, String(count), { timeout: WITHIN });
  async say(text) {
    await this.page.fill('#text', text);
    await this.page.press('#text', 'Enter');
  }
  /** The messages shown, without the line of name and time: own ones that aren't acknowledged begin with `…`. */
  shown = () =>
    this.page.$$eval('#messages li:not(.notice)', items =>
      items.map(item => (item.matches('.waiting') ? '…' : item.matches('.failed') ? '!' : '') + item.firstChild.textContent));
  /** Waits until `shown()` is this. */
  async shows(expected) {
    const end = Date.now() + WITHIN;
    while (JSON.stringify(await this.shown()) !== JSON.stringify(expected) && Date.now() < end)
      await new Promise(resolve => setTimeout(resolve, 50));
    same(await this.shown(), expected, 'what is shown');
  }
  notices = (...kinds) => this.page.$$eval(noticeOf(kinds), items => items.map(item => item.textContent));
  /** Waits for a notice of one of these kinds. */
  notice = (...kinds) => this.page.waitForSelector(noticeOf(kinds), { timeout: WITHIN });
  /** The states that the page has shown since it was first `open`, each once where it follows itself; for who is `watched`. */
  states = () => this.page.evaluate(() => window.statesSeen);
  /** The sockets that it has opened. */
  sockets = () => this.opened;
  /** The node that the page says it is on. */
  node = () => this.page.textContent('#node b');
  picture = (folder, name) => this.page.screenshot({ path: join(folder, `${name}.png`) });
  async close() {
    await this.context.close();
    same(this.faults, [], 'what went wrong in the page');
  }
}
