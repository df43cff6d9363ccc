// Signing in with a real browser, through TLS, with the default SameSite=Strict cookie.

import assert from 'node:assert/strict';

import { countNavigations, cookiesOf, fetchFrom, finishLogin, sessionOf, signIn, startLogin, withBrowser } from './scenario.mjs';
import { EVIL, ORIGIN } from './stack.mjs';

const scenario = withBrowser();

scenario('a login lands signed in, on the page that was asked for', async ({ page, stack }) => {
  await signIn(page, { login: 'alice', returnTo: '/?from=login' });

  assert.equal((await sessionOf(page)).claims.sub, 'alice');
  const { status, body } = await fetchFrom(page, '/api/hello');
  assert.equal(status, 200);
  assert.equal(body.headers['x-user-id'], 'alice');
  const { headers } = stack.upstreamRequests.findLast(({ url }) => url === '/api/hello');
  assert.match(headers.authorization, /^Bearer \S+$/);
  assert.equal(headers.cookie, undefined, 'our cookie stays at the edge');
  const landing = stack.upstreamRequests.find(({ url }) => url === '/?from=login');
  assert.match(landing.headers.authorization, /^Bearer /, 'the landing itself is signed in already');
});

scenario('a login works with scripts switched off', async ({ page, stack }) => {
  await signIn(page, { login: 'bob', returnTo: '/?no=script' });
  const landing = stack.upstreamRequests.find(({ url }) => url === '/?no=script');
  assert.equal(landing.headers['x-user-id'], 'bob');
}, { javaScriptEnabled: false });

scenario('a guarded page leads to the login and back', async ({ page }) => {
  await page.goto(`${ORIGIN}/api/page?a=b%20c&d=%2Fe`);
  await finishLogin(page, 'alice', '/api/page?a=b%20c&d=%2Fe');
  assert.equal(JSON.parse(await page.locator('body').innerText()).headers['x-user-id'], 'alice');
});

scenario('the browser holds one cookie that scripts cannot read, and nothing else', async ({ page, context }) => {
  const setCookies = [];
  page.on('response', async (response) => {
    if (response.url().startsWith(ORIGIN)) setCookies.push(...(await response.headersArray()).filter(({ name }) => name.toLowerCase() === 'set-cookie'));
  });
  await signIn(page);

  const [cookie, ...others] = await cookiesOf(context);
  assert.deepEqual(others, [], 'the login attempt leaves nothing behind');
  const { name, domain, path, httpOnly, secure, sameSite, expires, value } = cookie;
  assert.deepEqual({ name, domain, path, httpOnly, secure, sameSite, expires }, {
    name: '__Host-Http-coatcheck', domain: 'shop.test', path: '/', httpOnly: true, secure: true, sameSite: 'Strict', expires: -1,
  });
  assert.ok(`${name}=${value}`.length < 200);
  const header = setCookies.map((one) => one.value).flatMap((text) => text.split('\n')).find((text) => text.startsWith(`${name}=${value}`));
  assert.ok(header, 'the cookie was set over HTTP');
  assert.doesNotMatch(header, /;\s*(domain|max-age|expires)\s*=/i);

  assert.equal(await page.evaluate(() => document.cookie), '');
  assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length]), [0, 0]);
});

scenario('a link from another site lands signed in, after one bounce', async ({ page, stack }) => {
  await signIn(page, { login: 'alice' });
  await page.goto(stack.serveEvil(`<a href="${ORIGIN}/api/linked?a=1&amp;b=2">to the shop</a>`));
  const navigations = countNavigations(page, (url) => url.origin === ORIGIN);
  stack.upstreamRequests.length = 0;

  await page.getByRole('link').click();
  await page.waitForFunction(() => document.body.innerText.includes('x-user-id'));

  assert.equal(JSON.parse(await page.locator('body').innerText()).headers['x-user-id'], 'alice');
  assert.equal(page.url(), `${ORIGIN}/api/linked?a=1&b=2`);
  assert.deepEqual(navigations, Array(2).fill(`${ORIGIN}/api/linked?a=1&b=2`));
  assert.equal(stack.upstreamRequests.filter(({ url }) => url.startsWith('/api/linked')).length, 1, 'the application is asked once');
});

scenario('a link from another site to an optional page lands signed in too', async ({ page, stack }) => {
  await signIn(page, { login: 'alice' });
  await page.goto(stack.serveEvil(`<a href="${ORIGIN}/?linked">to the shop</a>`));
  await page.getByRole('link').click();
  await page.getByText('Signed in as Alice.').waitFor();
  const last = stack.upstreamRequests.findLast(({ url }) => url === '/?linked');
  assert.equal(last.headers['x-user-id'], 'alice');
});

scenario('a stranger who follows a link from another site reaches the login without a loop', async ({ page, stack }) => {
  await page.goto(stack.serveEvil(`<a href="${ORIGIN}/api/linked">to the shop</a>`));
  const navigations = countNavigations(page, (url) => url.origin === ORIGIN);
  await page.getByRole('link').click();
  await page.locator('input[name=login]').waitFor();
  assert.equal(navigations.filter((url) => url === `${ORIGIN}/api/linked`).length, 2, 'the link and one bounce');

  await finishLogin(page, 'bob', '/api/linked');
  assert.equal(JSON.parse(await page.locator('body').innerText()).headers['x-user-id'], 'bob');
});

for (const [count, order] of [[2, [1, 0]], [5, [3, 0, 4, 1, 2]]]) {
  scenario(`${count} tabs log in at once and finish in any order`, async ({ context, page, stack }) => {
    const tabs = [page];
    while (tabs.length < count) tabs.push(await context.newPage());
    for (const [index, tab] of tabs.entries()) await startLogin(tab, `/?tab=${index}`);
    for (const index of order) await finishLogin(tabs[index], 'alice', `/?tab=${index}`);

    for (const [index, tab] of tabs.entries()) {
      assert.equal((await sessionOf(tab)).claims?.sub, 'alice', `tab ${index} is signed in`);
      assert.equal(stack.upstreamRequests.findLast(({ url }) => url === `/?tab=${index}`)?.headers['x-user-id'], 'alice');
    }
    assert.deepEqual((await cookiesOf(context)).map(({ name }) => name), ['__Host-Http-coatcheck'], 'no attempt is left behind');
  });
}

scenario('abandoned logins do not pile up cookies', async ({ context, page }) => {
  for (let attempt = 0; attempt < 8; attempt += 1) await startLogin(page, `/?attempt=${attempt}`);
  const cookies = await cookiesOf(context);
  assert.ok(cookies.length <= 5, `five attempts at most, not ${cookies.length}`);
  for (const { httpOnly, secure, sameSite } of cookies) assert.deepEqual({ httpOnly, secure, sameSite }, { httpOnly: true, secure: true, sameSite: 'Lax' });

  await finishLogin(page, 'alice', '/?attempt=7');
  assert.equal((await sessionOf(page)).claims.sub, 'alice');
});

scenario('a new login is a new ticket, and the old one is dead', async ({ context, page }) => {
  await signIn(page, { login: 'alice' });
  const [before] = await cookiesOf(context);
  await page.goto(`${ORIGIN}/auth/login`); // the provider still knows her and asks nothing
  await page.getByText('Signed in as Alice.').waitFor();
  const [after] = await cookiesOf(context);
  assert.notEqual(after.value, before.value);

  await context.clearCookies();
  await context.addCookies([before]);
  await page.goto(`${ORIGIN}/`);
  assert.equal((await sessionOf(page)).authenticated, false);
});

scenario('the other site really is another site', async ({ page, stack }) => {
  await signIn(page);
  const sites = [];
  page.on('request', async (request) => {
    if (request.url().startsWith(`${ORIGIN}/assets/style.css`)) sites.push((await request.allHeaders())['sec-fetch-site']);
  });
  await page.goto(stack.serveEvil(`<link rel="stylesheet" href="${ORIGIN}/assets/style.css">`));
  assert.ok(page.url().startsWith(EVIL));
  assert.deepEqual(sites, ['cross-site']);
});
