// Every view, for the check of its accessibility and for pictures of it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { signIn } from './browser.js';

export function viewsOf({ run, change, incident }) {
  return [
    ['overview', ''],
    ['fleet', '/hosts'],
    ['fleet-map', '/hosts?view=map'],
    ['fleet-empty', '/hosts?env=none'],
    ['host', '/hosts/h-5'],
    ['host-missing', '/hosts/none'],
    ['runs', '/runs'],
    ['run', `/runs/${run}`],
    ['run-host', `/runs/${run}?host=h-5`],
    ['changes', '/changes'],
    ['change', `/changes/${change}`],
    ['incidents', '/incidents'],
    ['incident', `/incidents/${incident}`],
    ['cves', '/cves'],
    ['cve', '/cves/CVE-2026-91000'],
    ['exceptions', '/exceptions'],
    ['feeds', '/feeds'],
    ['policies', '/policies'],
    ['policy', '/policies/p'],
    ['strategies', '/policies/p/strategies?failures=1&deadline=10'],
    ['calendar', '/calendar'],
    ['predictions', '/predictions'],
    ['access', '/access'],
    ['audit', '/audit'],
    ['design', '/design'],
    ['nothing', '/nonsense'],
  ];
}

const axePath = fileURLToPath(import.meta.resolve('axe-core/axe.min.js'));

const KINDS = ['light', 'dark'].flatMap((scheme) => [1280, 390].map((width) => ({ scheme, width })));
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Visits each view, in both schemes and widths. Returns what axe finds; writes pictures if there is a folder for them. */
export async function visit(browser, base, token, views, pictures) {
  const context = await browser.context();
  const page = await context.newPage();
  const axe = await readFile(axePath, 'utf8');
  const found = [];
  await signIn(page, base, token);
  for (const [name, path] of views) {
    await page.goto(`${base}/console${path}`);
    await page.locator('h1').first().waitFor();
    // The page with all components has one that loads forever.
    if (name !== 'design') await page.waitForFunction(() => document.querySelector('[aria-label="Loading"]') === null && ![...document.querySelectorAll('[role=status]')].some((one) => one.textContent === 'Looking…'));
    // Evaluated by the debugger, which the policy of the page does not concern.
    await page.evaluate(axe);
    for (const { scheme, width } of KINDS) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: width < 600 ? 844 : 800 });
      // On a busy machine the styles follow later.
      await page.waitForFunction((isDark) => matchMedia('(prefers-color-scheme: dark)').matches === isDark && (getComputedStyle(document.body).color === 'rgb(230, 234, 239)') === isDark, scheme === 'dark');
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      const { violations } = await page.evaluate((runOnly) => globalThis.axe.run(document, { resultTypes: ['violations'], runOnly }), RULES);
      for (const violation of violations) {
        const nodes = violation.nodes.slice(0, 3).map((node) => `${node.target.join(' ')} (${node.failureSummary?.split('\n').slice(1, 3).join('; ').trim()})`);
        found.push(`${name} ${scheme} ${width}: ${violation.id}: ${violation.help}\n    ${nodes.join('\n    ')}`);
      }
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (overflow > 0) found.push(`${name} ${scheme} ${width}: is ${overflow} px wider than the window`);
      if (pictures) await page.screenshot({ path: join(pictures, `${name}-${scheme}-${width}.png`), fullPage: true });
    }
  }
  await context.close();
  return found;
}
