// What another site can do to a person who is signed in: nothing. Also the same-site sibling, which SameSite does not keep out.

import assert from 'node:assert/strict';

import { fetchFrom, sessionOf, signIn, withBrowser } from './scenario.mjs';
import { ORIGIN, SIBLING } from './stack.mjs';

const scenario = withBrowser();

/** Requests that reached the application with somebody's identity on them. */
const identified = (stack) => stack.upstreamRequests.filter(({ headers }) => headers.authorization || headers['x-user-id']);

/** Signs in and forgets what that did at the application. */
async function victim({ page, stack }) {
  await signIn(page, { login: 'alice' });
  assert.equal((await sessionOf(page)).authenticated, true);
  stack.upstreamRequests.length = 0;
}

/** The person is still signed in, as seen from the shop's own page. */
async function assertStillSignedIn(page) {
  await page.goto(`${ORIGIN}/`);
  assert.equal((await sessionOf(page)).claims?.sub, 'alice');
}

scenario('the page itself may read and write', async ({ page, stack }) => {
  await victim({ page, stack });
  assert.equal((await fetchFrom(page, '/api/order', { method: 'POST', body: 'a=1' })).status, 200);
  assert.equal(identified(stack).filter(({ method }) => method === 'POST').length, 1);
});

scenario('a form posted from another site has no effect', async ({ page, stack }) => {
  await victim({ page, stack });
  await page.goto(stack.serveEvil(`<form method="post" action="${ORIGIN}/api/order"><button>Win a prize</button></form>`));
  const [answer] = await Promise.all([page.waitForResponse(`${ORIGIN}/api/order`), page.getByRole('button').click()]);
  assert.ok([401, 403].includes(answer.status()), `refused, not ${answer.status()}`);
  assert.deepEqual(stack.upstreamRequests, [], 'nothing reached the application');
  await assertStillSignedIn(page);
});

scenario('another site cannot sign anybody out', async ({ page, stack }) => {
  await victim({ page, stack });
  await page.goto(stack.serveEvil(`
    <img src="${ORIGIN}/auth/logout" alt="">
    <form method="post" action="${ORIGIN}/auth/logout"><button>Win a prize</button></form>`));
  await Promise.all([page.waitForResponse(`${ORIGIN}/auth/logout`), page.getByRole('button').click()]);
  await assertStillSignedIn(page);
});

scenario('images, scripts and fetches of another site carry no token', async ({ page, stack }) => {
  await victim({ page, stack });
  await page.goto(stack.serveEvil('<h1>evil</h1>'));
  await page.evaluate(async (origin) => {
    const image = new Promise((resolve) => {
      const element = new Image();
      element.onload = resolve;
      element.onerror = resolve;
      element.src = `${origin}/api/image`;
    });
    await Promise.allSettled([
      image,
      fetch(`${origin}/api/no-cors`, { mode: 'no-cors', credentials: 'include' }),
      fetch(`${origin}/?optional`, { mode: 'no-cors', credentials: 'include' }),
      fetch(`${origin}/api/post`, { mode: 'no-cors', credentials: 'include', method: 'POST', body: 'a=1' }),
      fetch(`${origin}/api/cors`, { credentials: 'include' }),
    ]);
  }, ORIGIN);
  assert.deepEqual(identified(stack), []);
  assert.deepEqual(stack.upstreamRequests.filter(({ url }) => url.startsWith('/api/')), []);
  await assertStillSignedIn(page);
});

scenario('a same-site sibling carries no token either', async ({ page, stack }) => {
  await victim({ page, stack });
  await page.goto(stack.serveEvil('<h1>sibling</h1>', SIBLING));
  const outcomes = await page.evaluate(async (origin) => {
    const attempts = await Promise.allSettled([
      fetch(`${origin}/api/no-cors`, { mode: 'no-cors', credentials: 'include' }),
      fetch(`${origin}/api/post`, { mode: 'no-cors', credentials: 'include', method: 'POST', body: 'a=1' }),
    ]);
    return attempts.map(({ status }) => status);
  }, ORIGIN);
  assert.deepEqual(outcomes, ['fulfilled', 'fulfilled'], 'both requests were sent and answered');
  assert.deepEqual(stack.upstreamRequests, []);
  await assertStillSignedIn(page);
});

/** Opens a WebSocket from the page; resolves to its first message, or to "refused". */
const openWebSocket = (page) => page.evaluate((url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => resolve(data);
  socket.onerror = () => resolve('refused');
}), `${ORIGIN.replace('https', 'wss')}/api/socket`);

scenario('a WebSocket of the page itself is let through, with the identity', async ({ page, stack }) => {
  await victim({ page, stack });
  assert.equal(await openWebSocket(page), 'hello alice');
});

scenario('a WebSocket of another site is refused', async ({ page, stack }) => {
  await victim({ page, stack });
  await page.goto(stack.serveEvil('<h1>evil</h1>'));
  assert.equal(await openWebSocket(page), 'refused');
  assert.deepEqual(stack.upstreamRequests, []);
});

scenario('a WebSocket of a same-site sibling is refused', async ({ page, stack }) => {
  await victim({ page, stack });
  await page.goto(stack.serveEvil('<h1>sibling</h1>', SIBLING));
  assert.equal(await openWebSocket(page), 'refused');
  assert.deepEqual(stack.upstreamRequests, []);
});
