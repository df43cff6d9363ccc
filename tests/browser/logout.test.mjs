// Signing out with a real browser, and the pages of coatcheck's own that a person sees.

import assert from 'node:assert/strict';

import { cookiesOf, sessionOf, signIn, withBrowser } from './scenario.mjs';
import { ORIGIN } from './stack.mjs';

const scenario = withBrowser();

/** What anybody, with or without a screen, needs of a page; and no script, ever. */
async function assertReadable(page) {
  const facts = await page.evaluate(() => ({
    language: document.documentElement.lang,
    title: document.title.trim(),
    headings: [...document.querySelectorAll('h1')].map((heading) => heading.innerText.trim()),
    viewport: document.querySelector('meta[name=viewport]') !== null,
    scripts: document.scripts.length,
    handlers: [...document.querySelectorAll('*')].flatMap((element) => element.getAttributeNames()).filter((name) => name.startsWith('on')),
    unnamed: [...document.querySelectorAll('button, a')].filter((element) => element.innerText.trim() === '').length,
    wider: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  }));
  assert.match(facts.language, /^[a-z]{2}/);
  assert.notEqual(facts.title, '');
  assert.equal(facts.headings.length, 1);
  assert.notEqual(facts.headings[0], '');
  assert.deepEqual(
    { ...facts, language: '', title: '', headings: [] },
    { language: '', title: '', headings: [], viewport: true, scripts: 0, handlers: [], unnamed: 0, wider: false },
  );
}

/** The rules for every answer of ours (DESIGN, section 7). */
function assertSafeHeaders(answer) {
  const headers = answer.headers();
  assert.match(headers['cache-control'], /no-store/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'no-referrer');
  assert.match(headers['content-security-policy'], /default-src 'none'/);
  assert.doesNotMatch(headers['content-security-policy'], /script-src (?!'none')|unsafe-eval/);
}

async function assertSignedOut(page, context) {
  assert.deepEqual((await cookiesOf(context)).filter(({ name }) => name.includes('coatcheck')), []);
  await page.goto(`${ORIGIN}/`);
  assert.equal((await sessionOf(page)).authenticated, false);
}

scenario('the page signs out by a form, here and at the provider', async ({ page, context, stack }) => {
  await signIn(page, { login: 'alice' });
  const [cookie] = await cookiesOf(context);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL((url) => url.href.startsWith(`${ORIGIN}/auth/logout/done`));
  await assertReadable(page);
  await assertSignedOut(page, context);

  await context.addCookies([cookie]);
  await page.goto(`${ORIGIN}/`);
  assert.equal((await sessionOf(page)).authenticated, false, 'a kept cookie is worth nothing');
  const { counts } = await (await fetch(`${stack.issuer}/_control/state`)).json();
  assert.equal(counts.end_session, 1);
});

scenario('without a script, the logout page has one button and it works', async ({ page, context }) => {
  await signIn(page, { login: 'alice' });
  const answer = await page.goto(`${ORIGIN}/auth/logout`);
  assert.equal(answer.status(), 200);
  assertSafeHeaders(answer);
  await assertReadable(page);
  assert.equal(await page.getByRole('button').count(), 1);

  await page.getByRole('button').click();
  await page.waitForURL((url) => url.href.startsWith(`${ORIGIN}/auth/logout/done`));
  await assertSignedOut(page, context);
});

scenario('signing out twice is the same as once', async ({ page, context }) => {
  await signIn(page, { login: 'alice' });
  const [tab, other] = [page, await context.newPage()];
  await other.goto(`${ORIGIN}/auth/logout`);
  await tab.goto(`${ORIGIN}/auth/logout`);
  for (const each of [tab, other]) {
    await each.getByRole('button').click();
    await each.waitForURL((url) => url.href.startsWith(`${ORIGIN}/auth/logout/done`));
  }
  await assertSignedOut(page, context);
});

scenario('a broken callback shows a page that a person can read', async ({ page }) => {
  const answer = await page.goto(`${ORIGIN}/auth/callback?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E&state=nonsense`);
  assert.ok(answer.status() >= 400 && answer.status() < 500, `refused, not ${answer.status()}`);
  assertSafeHeaders(answer);
  await assertReadable(page);
  assert.ok(!(await page.content()).includes('alert(1)'), 'nothing of the query is repeated');
});

scenario('coatcheck’s pages fit a telephone and the dark', async ({ page }) => {
  await page.goto(`${ORIGIN}/auth/logout`);
  await assertReadable(page);
  const { text, ground } = await page.evaluate(() => {
    const style = getComputedStyle(document.body);
    return { text: style.color, ground: style.backgroundColor };
  });
  assert.notEqual(text, ground);
}, { viewport: { width: 320, height: 568 }, colorScheme: 'dark' });
