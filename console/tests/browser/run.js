// What people do in the console, in Debian's Chromium, on a running platform. Standard input has its address and tokens.
//
// Each step fails with what is wrong; afterwards nothing may be in the browser's console, and no request may have gone elsewhere.
import { mkdir } from 'node:fs/promises';
import { open } from './browser.js';
import journeys from './journeys.js';
import { viewsOf, visit } from './views.js';

const input = JSON.parse(await new Promise((resolve) => {
  let text = '';
  process.stdin.on('data', (part) => (text += part)).on('end', () => resolve(text));
}));
const pictures = process.env.CONSOLE_PICTURES;
if (pictures) await mkdir(pictures, { recursive: true });

const started = Date.now();
const browser = await open(input.chromium, input.base);
const failures = [];
const results = {};
const wanted = process.env.CONSOLE_STEPS?.split(',');

for (const journey of journeys) {
  const { name } = journey;
  if (wanted && !wanted.includes(name)) continue;
  const context = await browser.context();
  const page = await context.newPage();
  try {
    await journey({ browser, context, page, results, ...input });
    console.log(`${name}: ok after ${((Date.now() - started) / 1000).toFixed(1)} s`);
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
    const shown = await page.locator('main').innerText({ timeout: 2000 }).catch(() => 'nothing');
    console.log(`${name}: FAILED: ${error.message}\n  at ${page.url()}, which shows:\n${shown.slice(0, 1500)}`);
    if (pictures) await page.screenshot({ path: `${pictures}/failed-${name}.png`, fullPage: true }).catch(() => {});
  }
  await context.close().catch(() => {});
}

if (!wanted || wanted.includes('views')) {
  const only = process.env.CONSOLE_VIEWS?.split(',');
  const views = viewsOf({ ...input.known, ...results }).filter(([name]) => !only || only.includes(name));
  const halves = [0, 1].map((half) => views.filter((_, index) => index % 2 === half));
  const found = await Promise.all(halves.map((half) => visit(browser, input.base, input.tokens.admin, half, pictures))).catch((error) => [[`views: ${error.message}`]]);
  failures.push(...found.flat());
  console.log(`views: ${views.length} in two schemes and two widths after ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

failures.push(...browser.faults);
await browser.close();
if (failures.length > 0) {
  console.error(failures.join('\n'));
  process.exit(1);
}
