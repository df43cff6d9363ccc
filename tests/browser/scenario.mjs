// What every browser test shares: one stack and one Chromium per file, a fresh profile per test, and a picture of what went wrong.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { launch } from '../peers/browser.mjs';
import { ORIGIN, startStack } from './stack.mjs';

/**
 * Sets up a file's stack and browser, and returns `scenario(name, run)`. `run` gets `{ stack, context, page }`: the stack, a browser
 * profile that nobody used before, and a first tab. `options.edit` changes coatcheck's configuration for the whole file.
 */
export function withBrowser(options = {}) {
  let stack;
  let browser;
  before(async () => {
    stack = await startStack(options);
    browser = await launch([`--host-resolver-rules=${stack.hostRules}`]);
  });
  after(async () => {
    await browser?.close();
    await stack?.stop();
  });

  return function scenario(name, run, contextOptions = {}) {
    test(name, { timeout: 90_000 }, async () => {
      const context = await browser.newContext({ ignoreHTTPSErrors: true, ...contextOptions });
      context.setDefaultTimeout(15_000);
      stack.upstreamRequests.length = 0;
      try {
        await run({ stack, context, page: await context.newPage() });
      } catch (error) {
        await describeFailure(context, stack);
        throw error;
      } finally {
        await context.close();
      }
    });
  };
}

async function describeFailure(context, stack) {
  const folder = mkdtempSync(path.join(tmpdir(), 'coatcheck-failed-'));
  for (const [index, page] of context.pages().entries()) {
    const file = path.join(folder, `tab-${index + 1}.png`);
    await page.screenshot({ path: file }).catch(() => {});
    console.error(`tab ${index + 1} is at ${page.url().split('?')[0]}, see ${file}`);
  }
  console.error(stack.logs());
}

/** Goes to the login and stops at the provider's form. */
export async function startLogin(page, returnTo = '/') {
  await page.goto(`${ORIGIN}/auth/login?return_to=${encodeURIComponent(returnTo)}`);
  await page.locator('input[name=login]').waitFor();
}

/** Fills the provider's form and waits for the landing at `returnTo`. */
export async function finishLogin(page, login, returnTo = '/') {
  await page.locator('input[name=login]').fill(login);
  await page.locator('button[type=submit]').click();
  await page.waitForURL(`${ORIGIN}${returnTo}`);
}

export async function signIn(page, { login = 'alice', returnTo = '/' } = {}) {
  await startLogin(page, returnTo);
  await finishLogin(page, login, returnTo);
}

/** A same-origin fetch made by the page itself: status, media type and JSON (or text). */
export function fetchFrom(page, url, options = {}) {
  return page.evaluate(async ([target, init]) => {
    const answer = await fetch(target, init);
    const text = await answer.text();
    const type = answer.headers.get('content-type') ?? '';
    return { status: answer.status, type, body: type.includes('json') ? JSON.parse(text) : text };
  }, [url, options]);
}

/** What `/auth/session` tells the page. */
export const sessionOf = async (page) => (await fetchFrom(page, '/auth/session')).body;

/** The site's cookies, whatever the other sites hold. */
export const cookiesOf = (context) => context.cookies(ORIGIN);

/** Counts the main-frame navigations of a tab, redirects included, that `matches` a URL. */
export function countNavigations(page, matches) {
  const seen = [];
  page.on('request', (request) => {
    if (request.isNavigationRequest() && request.frame() === page.mainFrame() && matches(new URL(request.url()))) seen.push(request.url());
  });
  return seen;
}
