// The console measured in a browser: first byte, script time, memory, interactions, sizes of answers. Standard input has the address of a
// platform, a token and the ids to open; one line of JSON is the result.
import { open, signIn } from './browser.js';

const input = JSON.parse(await new Promise((resolve) => {
  let text = '';
  process.stdin.on('data', (part) => (text += part)).on('end', () => resolve(text));
}));
const VISITS = 5;
const { base, views } = input;
const browser = await open(input.chromium, base);
const context = await browser.context();
const page = await context.newPage();
const devtools = await context.newCDPSession(page);
await devtools.send('Performance.enable');

// The largest answer of the API that a view loads, as it goes over the wire and as text.
const answers = [];
page.on('response', async (response) => {
  const { pathname } = new URL(response.url());
  if (pathname.startsWith('/console') || response.status() !== 200) return;
  const sizes = await response.request().sizes().catch(() => undefined);
  const text = await response.body().catch(() => undefined);
  if (sizes && text) answers.push({ path: pathname, wire: sizes.responseBodySize, text: text.length });
});

await page.addInitScript(() => {
  // A press and its release are one interaction; the longest of its events counts.
  globalThis.interactions = new Map();
  new PerformanceObserver((list) => {
    for (const { interactionId: id, duration } of list.getEntries()) if (id) globalThis.interactions.set(id, Math.max(duration, globalThis.interactions.get(id) ?? 0));
  }).observe({ type: 'event', buffered: true, durationThreshold: 16 });
});

const sorted = (values) => [...values].sort((a, b) => a - b);
const percentile = (values, share) => sorted(values)[Math.min(values.length - 1, Math.ceil(values.length * share) - 1)];
const quiet = () => page.waitForLoadState('networkidle');
async function metrics() {
  const { metrics: all } = await devtools.send('Performance.getMetrics');
  return Object.fromEntries(all.map(({ name, value }) => [name, value]));
}

await signIn(page, base, input.token);
await quiet();
const pages = {};
for (const [name, path] of Object.entries(views)) {
  const firstBytes = [];
  const script = [];
  let heap = 0;
  answers.length = 0;
  for (let visit = 0; visit < VISITS; visit += 1) {
    await page.goto(`${base}/console${path}`);
    await page.waitForFunction(() => document.querySelector('h1') && !document.querySelector('[aria-label="Loading"]'));
    await quiet();
    firstBytes.push(await page.evaluate(() => performance.getEntriesByType('navigation')[0].responseStart));
    const after = await metrics();
    // They count from the navigation on.
    script.push(after.ScriptDuration * 1000);
    heap = Math.max(heap, after.JSHeapUsedSize / 1e6);
  }
  const largest = answers.reduce((most, one) => (one.text > (most?.text ?? 0) ? one : most), undefined);
  pages[name] = { first_byte_ms: percentile(firstBytes, 0.5), script_ms: percentile(script, 0.5), heap_mb: heap, largest };
}

// What somebody does in the table of the fleet and in the palette.
await page.goto(`${base}/console/hosts`);
await page.getByRole('rowheader').first().waitFor();
await quiet();
await page.evaluate(() => globalThis.interactions.clear());
let counted = 0;
const act = async (action) => {
  await action();
  counted += 1;
  await quiet();
  await page.waitForTimeout(60);
};
for (let round = 0; round < 3; round += 1) {
  await act(() => page.getByLabel('Environment').selectOption(['prod', 'staging', 'dev'][round]));
  await act(() => page.getByLabel('Order').selectOption(['severity', 'due', 'pending'][round]));
  await act(() => page.getByRole('checkbox').nth(1 + round).click());
  await act(() => page.getByRole('button', { name: 'Next' }).click());
  await act(() => page.getByRole('button', { name: 'Map' }).click());
  await act(() => page.getByRole('button', { name: 'Table' }).click());
  await act(() => page.keyboard.press('Control+k'));
  for (const key of 'host-00') await act(() => page.keyboard.press(key));
  await act(() => page.keyboard.press('ArrowDown'));
  await act(() => page.keyboard.press('Escape'));
}
await page.waitForTimeout(300);
// Interactions of less than 16 ms are not reported; each of them counts as 16 ms.
const slow = await page.evaluate(() => [...globalThis.interactions.values()]);
const all = [...slow, ...Array(Math.max(0, counted - slow.length)).fill(16)];

// From the question of the page to its answer, as the page asks.
const lists = {};
for (const [name, path] of Object.entries(input.lists)) {
  const times = await page.evaluate(async (path) => {
    const times = [];
    for (let turn = 0; turn < 20; turn += 1) {
      const began = performance.now();
      const answer = await fetch(path, { headers: { 'X-Patch-Console': '1' }, cache: 'no-store' });
      if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
      await answer.text();
      times.push(performance.now() - began);
    }
    return times;
  }, path);
  lists[name] = { p50_ms: percentile(times, 0.5), p95_ms: percentile(times, 0.95) };
}
await browser.close();
if (browser.faults.length > 0) throw new Error(browser.faults.join('\n'));
console.log(JSON.stringify({ pages, interactions: { count: all.length, p75_ms: percentile(all, 0.75), most_ms: percentile(all, 1) }, lists }));
