// One function for each thing that people do.
import { check, signIn } from './browser.js';

/** A wrong token says so; a session is a cookie that the page cannot read; signing out ends it. */
async function signInAndOut({ page, context, base, tokens }) {
  await page.goto(`${base}/console/hosts`);
  await page.getByLabel('Token').fill(`pm_${'0'.repeat(64)}`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').filter({ hasText: 'This token is not known' }).or(page.getByText('this token is not known')).first().waitFor();
  await page.getByLabel('Token').fill(tokens.operator);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Fleet' }).waitFor();
  check(await page.evaluate(() => document.cookie === ''), 'a script can read the cookie of the session');
  const kept = await page.evaluate(() => JSON.stringify(localStorage) + JSON.stringify(sessionStorage));
  check(!kept.includes('pm_'), `a token is in the storage of the browser: ${kept}`);
  const [cookie] = await context.cookies();
  check(cookie.httpOnly && cookie.sameSite === 'Strict' && cookie.value !== tokens.operator, 'the cookie is not a session of its own');
  await page.getByRole('button', { name: 'Sign out' }).first().click();
  await page.getByLabel('Token').waitFor();
  check((await context.cookies()).length === 0, 'the cookie is still there after signing out');
}

/** From the overview to a host that lacks a fix, with the keyboard alone where that is quicker. */
async function findAnAffectedHost({ page, base, tokens }) {
  await signIn(page, base, tokens.operator);
  await page.keyboard.press('Control+k');
  const palette = page.getByRole('combobox', { name: 'Action, or what to find' });
  await palette.fill('CVE-2026-91000');
  await page.getByRole('option').filter({ hasText: 'CVE-2026-91000' }).waitFor();
  await palette.press('Enter');
  await page.getByRole('heading', { name: /hosts are missing the fix/ }).waitFor();
  await page.getByRole('link', { name: 'h-3', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'h-3' }).waitFor();
  await page.getByRole('rowheader', { name: 'openssl' }).waitFor();
  check(await page.evaluate(() => document.activeElement?.id === 'view-title'), 'the heading has the focus after a navigation');
  await page.getByRole('link', { name: 'Fleet' }).first().click();
  await page.getByLabel('Status').selectOption('non_compliant');
  await page.waitForURL(/status=non_compliant/);
  await page.getByRole('link', { name: 'h-1', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Map' }).click();
  await page.getByRole('link', { name: /^h-1: lacks fixes/ }).focus();
  await page.keyboard.press('ArrowRight');
  await page.getByText(/^h-2 · lacks fixes/).waitFor();
}

/** Whatever a page can do is in the palette, and so is every view. */
async function paletteIsComplete({ page, base, tokens }) {
  await signIn(page, base, tokens.operator, '/console/policies/p');
  await page.getByRole('button', { name: 'Start a run…' }).waitFor();
  await page.keyboard.press('Control+k');
  const options = await page.getByRole('option').allTextContents();
  const links = await page.locator('#places a').allTextContents();
  for (const name of [...links, 'Start a run of p', 'Change p', 'Sign out']) check(options.includes(name), `\`${name}\` is not in the palette: ${options.join(', ')}`);
  await page.keyboard.press('Escape');
  check(!(await page.getByRole('combobox').isVisible()), 'Escape closes the palette');
}

/** The service names the wrong field, the text stays, and the policy is then made and previewed. */
async function createAPolicy({ page, base, tokens }) {
  await signIn(page, base, tokens.operator, '/console/policies');
  await page.getByRole('button', { name: 'Create a policy…' }).click();
  await page.getByLabel('Id', { exact: true }).fill('made-here');
  await page.getByLabel('Name', { exact: true }).fill('<b>Made</b> here & "there"');
  await page.getByLabel('Hosts with the tags').fill('env=prod, cluster=c-1');
  await page.getByLabel('Schedule', { exact: true }).fill('whenever');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('alert').waitFor();
  check((await page.getByLabel('Schedule', { exact: true }).getAttribute('aria-invalid')) === 'true', 'the wrong field is not marked');
  await page.getByLabel('Schedule', { exact: true }).fill('0 2 * * TUE#2');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: '<b>Made</b> here & "there"' }).waitFor();
  await page.getByRole('heading', { name: '6 hosts' }).waitFor();
  await page.getByRole('button', { name: 'Change…' }).click();
  await page.getByLabel('At once', { exact: true }).fill('50%');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('version 2, changed', { exact: false }).waitFor();
}

/** A run from its policy to its end: approved by somebody else on a phone, paused, resumed, with a host that fails; rolled back. */
async function runToTheEnd({ browser, page, base, tokens, results }) {
  await signIn(page, base, tokens.operator, '/console/policies/p');
  await page.getByRole('button', { name: 'Start a run…' }).click();
  await page.getByRole('button', { name: 'Start the run' }).click();
  await page.waitForURL(/\/console\/runs\//);
  results.run = new URL(page.url()).pathname.split('/').pop();
  const link = page.getByRole('link', { name: 'read the change' });
  await link.waitFor();
  const path = await link.getAttribute('href');
  results.change = path.split('/').pop();
  // Who asked for it cannot approve it, and reads why.
  const own = await page.context().newPage();
  await own.goto(base + path);
  await own.getByText('Only a person with the role approver can decide').or(own.getByText('somebody else must decide')).first().waitFor();
  check((await own.getByRole('button', { name: 'Approve…' }).count()) === 0, 'who asked for it sees the button to approve');
  await own.close();

  await approveOnAPhone({ browser, base, token: tokens.approver, path });

  await page.getByText('live', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Pause…' }).click();
  await page.getByLabel('Why?', { exact: false }).fill('look at <i>h-1</i> first');
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByRole('button', { name: 'Resume…' }).waitFor();
  check(await page.locator('h1').isVisible(), 'the view stays');
  await page.getByRole('button', { name: 'Resume…' }).click();
  await page.getByRole('button', { name: 'Resume', exact: true }).click();
  await page.getByRole('button', { name: 'Roll back…' }).waitFor({ timeout: 90_000 });
  const failed = page.getByRole('link', { name: /^h-5 (failed|rolled back|rollback failed)/ });
  await failed.click();
  await page.waitForURL(/host=h-5/);
  await page.getByRole('region', { name: 'Host h-5' }).waitFor();
  const log = await page.getByRole('region', { name: /^Log/ }).innerText();
  check(log.includes('h-5'), 'the log of the host is shown');

  await page.getByRole('button', { name: 'Roll back…' }).click();
  await page.getByText(/A new run returns the \d+ patched hosts?/).waitFor();
  await page.getByRole('button', { name: 'Roll back', exact: true }).click();
  await page.getByRole('link', { name: 'rollback of an earlier run' }).waitFor();
  await page.getByRole('button', { name: 'Cancel…' }).click();
  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.getByText('cancelled').first().waitFor();
}

async function approveOnAPhone({ browser, base, token, path }) {
  const context = await browser.context({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const page = await context.newPage();
  await signIn(page, base, token, path);
  await page.getByRole('heading', { name: 'What is installed where' }).waitFor();
  await page.getByText('openssl').first().waitFor();
  const approve = page.getByRole('button', { name: 'Approve…' });
  const box = await approve.boundingBox();
  check(box && box.height >= 44 && box.y + box.height <= 844, `the button is at hand: ${JSON.stringify(box)}`);
  await approve.tap();
  await page.getByLabel('Comment', { exact: false }).fill('seen');
  await page.getByRole('button', { name: 'Approve', exact: true }).tap();
  // The name alone is also in the page's head, before the decision has arrived.
  await page.getByRole('definition').filter({ hasText: 'arjun' }).filter({ hasText: 'seen' }).waitFor();
  await context.close();
}

/** One search finds everything; a hit of each kind has its page. */
async function searchFindsEverything({ page, base, tokens, results }) {
  await signIn(page, base, tokens.operator);
  const find = async (text, kind, id) => {
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Action, or what to find' }).fill(text);
    await page.locator(`[id="palette-${kind}-${id}"]`).click();
  };
  await find('h-3', 'host', 'h-3');
  await page.getByRole('heading', { level: 1, name: 'h-3' }).waitFor();
  await find('openss', 'package', 'openssl');
  await page.getByRole('rowheader', { name: 'h-1', exact: true }).waitFor();
  await find('hole', 'cve', 'CVE-2026-91000');
  await page.getByRole('heading', { level: 1, name: 'CVE-2026-91000' }).waitFor();
  await find(results.change.toLowerCase(), 'change', results.change);
  await page.waitForURL(new RegExp(`/changes/${results.change}`));
  await find(results.run.slice(0, 18), 'run', results.run);
  await page.waitForURL(new RegExp(`/runs/${results.run}`));
  await find('Customer demo', 'customer', 'demo-1');
  await page.getByRole('heading', { level: 1, name: 'Customer demo-1' }).waitFor();
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('nothing has this name');
  await page.getByText('Nothing matches. Try part of a name.').waitFor();
}

/** The run again, event by event: by keys, by buttons and by the events; the same instant by its address. */
async function replayARun({ page, base, tokens, results }) {
  await signIn(page, base, tokens.viewer, `/console/runs/${results.run}`);
  await page.getByRole('link', { name: 'Replay', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: /^Replay of run/ }).waitFor();
  const slider = page.getByRole('slider', { name: 'Time in the run' });
  await page.getByRole('button', { name: 'h-6: pending' }).waitFor();
  await page.getByRole('button', { name: 'End', exact: true }).click();
  await page.getByRole('button', { name: /^h-5: (failed|rolled back)/ }).waitFor();
  check((await page.locator('dl.figures div', { hasText: 'failed' }).locator('dd').innerText()) === '1', 'one host failed at the end');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await slider.focus();
  for (let press = 0; press < 12; press += 1) await page.keyboard.press('PageUp');
  check(Number(await slider.inputValue()) > 0, 'the keys move the slider');
  const event = page.getByRole('button', { name: /h-1: update begins/ });
  await event.click();
  await page.getByRole('button', { name: 'h-1: patching' }).waitFor();
  // The address follows a moment later; until then it has the instant of before.
  const instant = Number(await slider.inputValue());
  await page.waitForURL((url) => Math.abs(Number(url.searchParams.get('at')) - instant) < 1);
  await page.reload();
  await page.getByRole('button', { name: 'h-1: patching' }).waitFor();
  await page.getByRole('button', { name: 'h-1: patching' }).press('Enter');
  await page.waitForURL(/host=h-1/);
  check((await page.getByRole('region', { name: 'Events' }).getByText('h-2:', { exact: false }).count()) === 0, 'the events are those of the chosen host');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await page.waitForFunction(() => Number(document.querySelector('input[type=range]')?.value) > 0);
  await page.getByRole('button', { name: 'Pause', exact: true }).click();

  // A plan that was not run: another play is another course.
  await page.goto(`${base}/console/policies/p/replay`);
  const length = page.locator('output');
  await length.waitFor();
  const first = await length.innerText();
  for (let tries = 0; tries < 5 && (await length.innerText()) === first; tries += 1) {
    await page.getByRole('button', { name: 'Another play' }).click();
    await page.waitForURL(new RegExp(`play=${tries + 1}`));
    await page.waitForTimeout(300);
  }
  check((await length.innerText()) !== first, 'every play takes as long');
}

/** From the forecast of a release to its rollout, a customer's health, and its rollback. */
async function rollOutARelease({ page, base, tokens }) {
  await signIn(page, base, tokens.operator, '/console/releases');
  await page.getByRole('link', { name: 'v1.0.1' }).first().click();
  await page.getByRole('heading', { name: 'Forecast of the rollout, tier by tier' }).waitFor();
  await page.getByRole('button', { name: 'Roll out…' }).click();
  await page.getByRole('button', { name: 'Roll out', exact: true }).click();
  await page.waitForURL(/\/console\/runs\//);
  await page.goto(`${base}/console/releases/v1.0.1`);
  await page.getByRole('heading', { name: 'Rollout, tier by tier' }).waitFor({ timeout: 60_000 });
  await page.getByRole('row').filter({ hasText: 'Customer demo-1' }).filter({ hasText: 'v1.0.1' }).waitFor({ timeout: 60_000 });
  await page.getByRole('link', { name: 'Customer demo-1' }).click();
  await page.getByText('the check succeeds').waitFor();
  await page.goBack();
  await page.getByRole('button', { name: 'Roll back…' }).click();
  await page.getByLabel('Customer demo-1').check();
  await page.getByLabel('At once', { exact: false }).check();
  await page.getByText('1 customer returns to the version before v1.0.1, at once.', { exact: false }).waitFor();
  await page.getByLabel('Why?', { exact: false }).fill('invoices are <b>empty</b>');
  await page.getByRole('button', { name: 'Roll back', exact: true }).click();
  await page.waitForURL(/\/console\/runs\//);
}

/** What was tried out on the sliders is asked of the service, and in the address. */
async function tryOutAPlan({ page, base, tokens }) {
  await signIn(page, base, tokens.viewer, '/console/policies/p/strategies');
  const row = page.getByRole('row', { name: /^rolling/ });
  await row.waitFor();
  await page.getByRole('button', { name: 'Hosts at once: more' }).click();
  await page.waitForURL(/parallel=1/);
  await page.waitForFunction(() => [...document.querySelectorAll('tbody tr')].some((one) => one.querySelector('th')?.textContent?.startsWith('rolling') && one.querySelectorAll('td')[1]?.textContent === '1'));
  await page.getByRole('slider', { name: /^Deadline/ }).press('End');
  await page.waitForURL(/deadline=1440/);
  await page.getByRole('button', { name: 'As the policy says' }).click();
  check(!page.url().includes('parallel'), 'the policy is as it was');
}

/** What a version of a policy changed, and who. */
async function readThePast({ page, base, tokens }) {
  await signIn(page, base, tokens.viewer, '/console/policies/made-here');
  const history = page.getByRole('region', { name: 'History' });
  await history.getByText('Version 2').waitFor();
  await history.getByText('max_parallel').waitFor();
  check((await history.locator('ins').first().innerText()) === '50%', 'the new value is shown');
}

/** Somebody who may only read sees no actions, and reads why something is not shown. */
async function viewerOnlyReads({ page, base, tokens }) {
  await signIn(page, base, tokens.viewer, '/console/policies/p');
  await page.getByRole('heading', { name: 'What it would do' }).waitFor();
  check((await page.getByRole('button', { name: /Start a run|Change…/ }).count()) === 0, 'a viewer sees actions');
  await page.goto(`${base}/console/hosts`);
  await page.getByRole('link', { name: 'h-1', exact: true }).waitFor();
  check((await page.getByRole('checkbox').count()) === 0, 'a viewer can select hosts');
  await page.goto(`${base}/console/audit`);
  await page.getByRole('heading', { name: 'You may not see this' }).waitFor();
  await page.getByText('this needs one of the roles `auditor`, `admin`', { exact: false }).waitFor();
}

/** The session ends while somebody types: they sign in above the form, and the text is still there. */
async function sessionEndsWhileTyping({ page, context, base, tokens }) {
  await signIn(page, base, tokens.operator, '/console/policies');
  await page.getByRole('button', { name: 'Create a policy…' }).click();
  await page.getByLabel('Name', { exact: true }).fill('typed before the session ended');
  await context.clearCookies();
  await page.getByLabel('Id', { exact: true }).fill('typed');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor();
  await page.getByLabel('Token').fill(tokens.operator);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor({ state: 'hidden' });
  check((await page.getByLabel('Name', { exact: true }).inputValue()) === 'typed before the session ended', 'the typed text is lost');
}

/** A lost connection is shown, what was read stays, and the page recovers by itself. */
async function connectionIsLost({ page, context, base, tokens }) {
  await signIn(page, base, tokens.operator, '/console/runs');
  await page.getByRole('rowheader').first().waitFor();
  await context.setOffline(true);
  await page.getByText('The server cannot be reached.', { exact: false }).waitFor();
  check((await page.getByRole('rowheader').count()) > 0, 'what was read is gone');
  await context.setOffline(false);
  await page.getByText('The server cannot be reached.', { exact: false }).waitFor({ state: 'hidden' });
}

/** Text of others is text: nothing of it becomes part of the page. */
async function hostileTextIsText({ page, base, tokens, hostile, known }) {
  await signIn(page, base, tokens.admin, `/console/incidents/${known.incident}`);
  await page.getByText(hostile.slice(0, 40), { exact: false }).first().waitFor();
  check((await page.locator('img[src="x"], script:not([src])').count()) === 0, 'text became markup');
  check(!(await page.evaluate(() => globalThis.wasRun)), 'text was run');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, `a long text makes the page ${wide} px too wide`);
  for (const path of ['/console/hosts?status=nonsense', '/console/runs/nonsense', '/console/cves/%3Cscript%3E', '/console/calendar?month=2026-99', '/console/hosts?page=forged', '/dashboard/runs/none']) {
    await page.goto(base + path);
    await page.locator('h1, h2').first().waitFor();
    await page.waitForFunction(() => document.querySelector('[aria-label="Loading"]') === null);
    check((await page.locator('main').innerText()).length > 20, `${path} shows nothing`);
  }
}

/** In the order in which they are done: later ones find what earlier ones made. */
export default [signInAndOut, findAnAffectedHost, paletteIsComplete, createAPolicy, runToTheEnd, searchFindsEverything, replayARun, rollOutARelease, tryOutAPlan, readThePast, viewerOnlyReads, sessionEndsWhileTyping, connectionIsLost, hostileTextIsText];
