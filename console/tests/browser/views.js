// Every view, for the check of its accessibility and for pictures of it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { signIn } from './browser.js';

export function viewsOf({ run, change, incident, host = 'h-5', policy = 'p', cve = 'CVE-2026-91000', release = 'v1.0.1', customer = 'demo-1', name = 'openssl' }) {
  const views = [
    ['overview', ''],
    ['fleet', '/hosts'],
    ['fleet-map', '/hosts?view=map'],
    ['fleet-empty', '/hosts?env=none'],
    ['host', `/hosts/${host}`],
    ['host-missing', '/hosts/none'],
    ['package', `/packages/${name}`],
    ['package-empty', '/packages/none'],
    ['runs', '/runs'],
    ['run', run && `/runs/${run}`],
    ['run-host', run && `/runs/${run}?host=${host}`],
    ['replay-run', run && `/runs/${run}/replay?at=6`],
    ['changes', '/changes'],
    ['change', change && `/changes/${change}`],
    ['incidents', '/incidents'],
    ['incident', incident && `/incidents/${incident}`],
    ['cves', '/cves'],
    ['cve', `/cves/${cve}`],
    ['exceptions', '/exceptions'],
    ['feeds', '/feeds'],
    ['policies', '/policies'],
    ['policy', `/policies/${policy}`],
    ['strategies', `/policies/${policy}/strategies?failures=1&deadline=10`],
    ['replay-plan', `/policies/${policy}/replay?play=3&at=8`],
    ['replay-missing', '/policies/none/replay'],
    ['releases', '/releases'],
    ['releases-empty', '/releases?tier=enterprise'],
    ['release', release && `/releases/${release}`],
    ['release-missing', '/releases/v9.9.9'],
    ['customer', customer && `/customers/${customer}`],
    ['calendar', '/calendar'],
    ['predictions', '/predictions'],
    ['access', '/access'],
    ['audit', '/audit'],
    ['design', '/design'],
    ['nothing', '/nonsense'],
  ];
  return views.filter(([, path]) => path !== undefined && path !== null);
}

const axePath = fileURLToPath(import.meta.resolve('axe-core/axe.min.js'));

const KINDS = ['light', 'dark'].flatMap((scheme) => [1280, 390].map((width) => ({ scheme, width })));
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Visits each view, in both schemes and widths. Returns what axe finds; writes pictures if there is a folder for them. */
export async function visit(browser, base, token, views, pictures, checks = true) {
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
    if (checks) await page.evaluate(axe);
    for (const { scheme, width } of KINDS) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: width < 600 ? 844 : 800 });
      // On a busy machine the styles follow later.
      await page.waitForFunction((isDark) => matchMedia('(prefers-color-scheme: dark)').matches === isDark && (getComputedStyle(document.body).color === 'rgb(230, 234, 239)') === isDark, scheme === 'dark');
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
      const violations = checks ? await violationsOf(page) : [];
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

/** What holds twice: on a busy machine, some styles follow those of the page by a moment. */
async function violationsOf(page) {
  const look = async () => (await page.evaluate((runOnly) => globalThis.axe.run(document, { resultTypes: ['violations'], runOnly }), RULES)).violations;
  const found = await look();
  if (found.length === 0) return found;
  await page.waitForTimeout(400);
  return look();
}
