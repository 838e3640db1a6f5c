/**
 * The browser's tests, against a running `ringway dev`:
 *
 *   BASE_URL=http://127.0.0.1:8080 node run.mjs
 *
 * CHROMIUM: the browser (default: `chromium` on the PATH). SCREENSHOTS: where pictures go (default: target/screenshots).
 * `rules.mjs` holds ringway.js to its rules with a socket and a clock of its own; `page.mjs` opens the page in windows
 * and stops a node, so it comes after those. `relay.mjs` has a cluster of its own: RINGWAY and NATS_SERVER are its binaries,
 * PAGE the folder of its page's files. The last line is `N passed, M failed`; the exit code is 1 if any failed.
 */
import { mkdir } from 'node:fs/promises';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { pageTests } from './page.mjs';
import { relayTests } from './relay.mjs';
import { rulesTests } from './rules.mjs';

const TEST_WITHIN = 60_000; // ms
const base = (process.env.BASE_URL ?? 'http://127.0.0.1:8080').replace(/\/$/, '');
const of = { ringway: process.env.RINGWAY, nats: process.env.NATS_SERVER ?? 'nats-server', page: process.env.PAGE };
const screenshots = process.env.SCREENSHOTS ?? fileURLToPath(new URL('../../../../target/screenshots', import.meta.url));

function onPath(name) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch { /* not here */ }
  }
  throw new Error(`no ${name} on the PATH: set CHROMIUM`);
}

await mkdir(screenshots, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || onPath('chromium'),
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
    // A page that a test puts in place itself has come from no network, and may open a socket to this machine all the same.
    '--disable-features=LocalNetworkAccessChecks'],
});
let [passed, failed] = [0, 0];

/** Runs one test, and says how it went. */
async function test(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${TEST_WITHIN / 1000} s`)), TEST_WITHIN);
  });
  try {
    await Promise.race([body(), late]);
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n        ${String(error?.stack ?? error).replaceAll('\n', '\n        ')}`);
  } finally {
    clearTimeout(timer);
  }
}

try {
  await rulesTests({ browser, base, test });
  await pageTests({ browser, base, test, screenshots });
  await relayTests({ browser, test, screenshots, ...of });
} catch (error) {
  failed += 1;
  console.log(`FAILED  to run: ${error?.stack ?? error}`);
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
