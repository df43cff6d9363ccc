// The test provider itself, seen from a client: a test that leans on it must be able to trust it.  node --test tests/peers

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, beforeEach, test } from 'node:test';

const CLIENT = {
  client_id: 'shop',
  client_secret: 'odd: secret/+&%',
  redirect_uris: ['http://localhost:8080/auth/callback'],
  post_logout_redirect_uris: ['http://localhost:8080/auth/logout/done'],
};

let child;
let issuer;

before(async () => {
  child = spawn(process.execPath, [new URL('provider.mjs', import.meta.url).pathname, '--config', JSON.stringify({ clients: [CLIENT] })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface(child.stdout), 'line');
  ({ issuer } = JSON.parse(line));
});

after(() => child.kill());

beforeEach(async () => {
  await control('behaviour', {});
  await control('lifetimes', { access_token: 300 });
  await control('clients', [CLIENT]);
  await control('reset');
});

async function control(command, body = {}) {
  const answer = await fetch(`${issuer}/_control/${command}`, { method: 'POST', body: JSON.stringify(body) });
  const json = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(json));
  return json;
}

const state = async () => (await fetch(`${issuer}/_control/state`)).json();

/** A browser as far as this test needs one: cookies, and redirects until the address leaves the provider. */
async function browse(url, options = {}, jar = new Map()) {
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  const answer = await fetch(url, { ...options, redirect: 'manual', headers: { ...options.headers, cookie } });
  for (const set of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
    jar.set(name, value);
  }
  const location = answer.headers.get('location');
  if (!location) return { url, answer, jar };
  const next = new URL(location, url);
  return next.origin === issuer ? browse(next.href, {}, jar) : { url: next.href, answer, jar };
}

const postForm = (fields) => ({
  method: 'POST',
  body: new URLSearchParams(fields).toString(),
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
});

/** Signs in and returns the callback's parameters and what is needed to redeem the code. */
async function signIn(login, scope = 'openid profile email offline_access') {
  const verifier = randomBytes(32).toString('base64url');
  const parameters = {
    client_id: CLIENT.client_id,
    response_type: 'code',
    redirect_uri: CLIENT.redirect_uris[0],
    scope,
    state: 'the-state',
    nonce: 'the-nonce',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
  const form = await browse(`${issuer}/authorize?${new URLSearchParams(parameters)}`);
  assert.match(await form.answer.text(), /name="login"/);
  const landing = await browse(form.url, postForm({ login, password: 'ignored' }), form.jar);
  return { callback: new URL(landing.url).searchParams, verifier, jar: form.jar };
}

function redeem(fields) {
  const credentials = [CLIENT.client_id, CLIENT.client_secret].map((part) => new URLSearchParams({ part }).toString().slice('part='.length));
  const options = postForm(fields);
  options.headers.authorization = `Basic ${Buffer.from(credentials.join(':')).toString('base64')}`;
  return fetch(`${issuer}/token`, options);
}

async function tokensFor(login) {
  const { callback, verifier, jar } = await signIn(login);
  const answer = await redeem({
    grant_type: 'authorization_code', code: callback.get('code'), redirect_uri: CLIENT.redirect_uris[0], code_verifier: verifier,
  });
  return { ...(await answer.json()), jar };
}

const refresh = (token) => redeem({ grant_type: 'refresh_token', refresh_token: token });
const claimsOf = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));

async function isSignedByTheProvider(jwt) {
  const [header, payload, signature] = jwt.split('.');
  const { kid } = JSON.parse(Buffer.from(header, 'base64url'));
  const { keys } = await (await fetch(`${issuer}/jwks`)).json();
  const key = createPublicKey({ key: keys.find((jwk) => jwk.kid === kid), format: 'jwk' });
  return verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
}

test('a login yields a code, the issuer, and tokens with the claims of the person', async () => {
  const { callback } = await signIn('alice');
  assert.equal(callback.get('state'), 'the-state');
  assert.equal(callback.get('iss'), issuer);

  const tokens = await tokensFor('alice');
  const claims = claimsOf(tokens.id_token);
  assert.equal(tokens.expires_in, 300);
  assert.ok(tokens.refresh_token);
  assert.equal(claims.nonce, 'the-nonce');
  assert.deepEqual(claims.groups, ['staff', 'dev']);
  assert.equal(claims.email, 'alice@example.com');
  assert.ok(await isSignedByTheProvider(tokens.id_token));
  const userinfo = await fetch(`${issuer}/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  assert.equal((await userinfo.json()).name, 'Alice');
});

test('a refresh token is rotated, and its reuse revokes the whole family', async () => {
  const first = await tokensFor('bob');
  const second = await (await refresh(first.refresh_token)).json();
  assert.notEqual(second.refresh_token, first.refresh_token);

  assert.equal((await (await refresh(first.refresh_token)).json()).error, 'invalid_grant');
  assert.equal((await (await refresh(second.refresh_token)).json()).error, 'invalid_grant');
  const { token_requests: seen, reused_refresh_tokens: reused } = await state();
  assert.deepEqual(seen.map((one) => [one.grant_type, one.ok, one.presented]), [
    ['authorization_code', true, undefined],
    ['refresh_token', true, 1],
    ['refresh_token', false, 2],
    ['refresh_token', false, 1],
  ]);
  assert.equal(reused, 1);
  assert.deepEqual([seen[0].client_auth, seen[0].client_id], ['basic', 'shop']);
});

test('two logins of one person are two families', async () => {
  const one = await tokensFor('bob');
  const other = await tokensFor('bob');
  await refresh(one.refresh_token);
  await refresh(one.refresh_token);
  assert.equal((await refresh(other.refresh_token)).status, 200);
});

test('every minted secret is on record', async () => {
  const tokens = await tokensFor('alice');
  const { tokens: recorded, counts } = await state();
  assert.deepEqual(recorded.access, [tokens.access_token]);
  assert.deepEqual(recorded.refresh, [tokens.refresh_token]);
  assert.deepEqual(recorded.id, [tokens.id_token]);
  assert.equal(recorded.codes.length, 1);
  assert.deepEqual(counts, { authorize: 1, 'token.authorization_code': 1 });
});

test('a refused token request never reaches the provider', async () => {
  const { refresh_token: token } = await tokensFor('alice');
  await control('behaviour', { token_status: 503, only: 'refresh_token', times: 1 });
  assert.equal((await refresh(token)).status, 503);
  assert.equal((await refresh(token)).status, 200, 'times: 1 is over, and the token was not used');
});

test('an OAuth error comes with its status', async () => {
  const { refresh_token: token } = await tokensFor('alice');
  await control('behaviour', { token_error: 'invalid_client' });
  const answer = await refresh(token);
  assert.equal(answer.status, 401);
  assert.deepEqual(await answer.json(), { error: 'invalid_client' });
});

test('a dropped answer has been processed: the token is used up', async () => {
  const { refresh_token: token } = await tokensFor('alice');
  await control('behaviour', { drop_after_processing: true, times: 1 });
  await assert.rejects(refresh(token));
  assert.equal((await (await refresh(token)).json()).error, 'invalid_grant');
});

test('a slow answer is held back after processing', async () => {
  const { refresh_token: token } = await tokensFor('alice');
  await control('behaviour', { token_delay_ms: 300 });
  const started = Date.now();
  assert.equal((await refresh(token)).status, 200);
  assert.ok(Date.now() - started >= 290);
});

test('members can be left out or changed, and the ID token signed for somebody else', async () => {
  const { refresh_token: token } = await tokensFor('alice');
  await control('behaviour', { omit: ['refresh_token', 'expires_in'], set: { scope: 'openid' }, id_token_from_other_sub: true });
  const answer = await (await refresh(token)).json();
  assert.ok(!('refresh_token' in answer) && !('expires_in' in answer));
  assert.equal(answer.scope, 'openid');
  assert.equal(claimsOf(answer.id_token).sub, 'somebody-else');
  assert.ok(await isSignedByTheProvider(answer.id_token));
});

test('after a key rotation new tokens have a new key, and sessions live on', async () => {
  const { id_token: old, refresh_token: token } = await tokensFor('alice');
  await control('rotate_keys', { keep_old: false });
  const { id_token: fresh } = await (await refresh(token)).json();
  assert.notEqual(fresh.split('.')[0], old.split('.')[0]);
  assert.ok(await isSignedByTheProvider(fresh));
});

test('lifetimes change while it runs', async () => {
  await control('lifetimes', { access_token: 2 });
  assert.equal((await tokensFor('alice')).expires_in, 2);
});

test('a revoked person holds dead tokens', async () => {
  const { refresh_token: token } = await tokensFor('alice');
  assert.ok((await control('revoke_user', { login: 'alice' })).revoked > 0);
  assert.equal((await (await refresh(token)).json()).error, 'invalid_grant');
});

test('the provider can be gone', async () => {
  await control('behaviour', { down: true, times: 1 });
  await assert.rejects(fetch(`${issuer}/.well-known/openid-configuration`));
  assert.equal((await fetch(`${issuer}/.well-known/openid-configuration`)).status, 200);
});

test('logout with a hint returns to the client with its state', async () => {
  const { id_token: hint, jar } = await tokensFor('alice');
  const parameters = { id_token_hint: hint, post_logout_redirect_uri: CLIENT.post_logout_redirect_uris[0], state: 'bye' };
  const page = await browse(`${issuer}/logout?${new URLSearchParams(parameters)}`, {}, jar);
  const html = await page.answer.text();
  const [, action] = /action="([^"]+)"/.exec(html);
  const [, xsrf] = /name="xsrf" value="([^"]+)"/.exec(html);
  const { url } = await browse(action, postForm({ xsrf, logout: 'yes' }), jar);
  assert.equal(url, `${CLIENT.post_logout_redirect_uris[0]}?state=bye`);
});

test('a mistyped behaviour is refused', async () => {
  const answer = await fetch(`${issuer}/_control/behaviour`, { method: 'POST', body: '{"token_dealy_ms": 1}' });
  assert.equal(answer.status, 400);
  assert.match((await answer.json()).error, /unknown key "token_dealy_ms"/);
});
