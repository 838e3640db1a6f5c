/** Runs the table of `rules-in-page.mjs` in the browser, each test in a page of its own. */
import { fileURLToPath } from 'node:url';

const table = fileURLToPath(new URL('./rules-in-page.mjs', import.meta.url));

export async function rulesTests({ browser, base, test }) {
  const context = await browser.newContext();
  await context.route('**/rules-in-page.mjs', route => route.fulfill({ path: table, contentType: 'text/javascript' }));
  const open = async () => {
    const page = await context.newPage();
    await page.goto(`${base}/ringway.js`); // any page of the same origin that runs nothing
    return page;
  };
  const first = await open();
  const names = await first.evaluate(async () => (await import('/rules-in-page.mjs')).names);
  await first.close();
  for (const name of names) {
    await test(`ringway.js: ${name}`, async () => {
      const page = await open();
      try {
        const fault = await page.evaluate(async name => (await import('/rules-in-page.mjs')).run(name), name);
        if (fault) throw new Error(fault);
      } finally {
        await page.close();
      }
    });
  }
  await context.close();
}
