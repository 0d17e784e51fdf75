// A browser that reports everything that a person would not see: errors in the console, violations of the policy, requests to
// other origins.
import { chromium } from 'playwright-core';

export async function open(executablePath, base) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const faults = [];
  // Answers that a journey asks for on purpose; the browser writes each of them into its console.
  const expected = /Failed to load resource: (the server responded with a status of (400|401|403|404|422|409|412)|net::ERR_INTERNET_DISCONNECTED)/;

  async function context(options = {}) {
    const made = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', timezoneId: 'Europe/Berlin', locale: 'en-GB', ...options });
    made.setDefaultTimeout(20_000);
    await made.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    });
    made.on('page', (page) => {
      page.on('console', (message) => {
        if (message.type() === 'error' && !expected.test(message.text())) faults.push(`${page.url()}: ${message.text()}`);
      });
      page.on('pageerror', (error) => faults.push(`${page.url()}: ${error.message}`));
      page.on('request', (request) => {
        if (!request.url().startsWith(base)) faults.push(`${page.url()} asked for ${request.url()}`);
      });
    });
    return made;
  }

  return { context, faults, close: () => browser.close() };
}

export async function signIn(page, base, token, path = '/console') {
  await page.goto(base + path);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  // On a phone it is folded away.
  await page.locator('#places').waitFor({ state: 'attached' });
}

export function check(holds, what) {
  if (!holds) throw new Error(what);
}
