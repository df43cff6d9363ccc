// The test's hand on the provider: records what was asked and minted, and makes it slow, broken or gone on demand.
// Served under /_control beside the provider's own endpoints; README.md lists the API.

import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { merge } from './config.mjs';
import { resignWith } from './keys.mjs';
import { routes } from './oidc.mjs';

const GOOD_BEHAVIOUR = {
  /** Hold a token answer back this long; the provider has processed the request (and rotated) before. */
  token_delay_ms: 0,
  /** Answer token requests with this status or OAuth error; they never reach the provider. */
  token_status: null,
  token_error: null,
  /** Process the token request, then cut the connection instead of answering. */
  drop_after_processing: false,
  /** Leave these members out of token answers, or set them to something else. */
  omit: [],
  set: {},
  /** Sign the ID token of the answer for somebody else. */
  id_token_from_other_sub: false,
  /** Restrict all of the above to one grant type: "refresh_token" or "authorization_code". */
  only: null,
  /** Cut every connection, whatever the endpoint. */
  down: false,
  /** Be good again after so many misbehaviours. */
  times: null,
};

const ENDPOINTS = new Map([
  ['/.well-known/openid-configuration', 'discovery'],
  [routes.authorization, 'authorize'],
  [routes.jwks, 'jwks'],
  [routes.userinfo, 'userinfo'],
  [routes.revocation, 'revocation'],
  [routes.end_session, 'end_session'],
]);

export class Control {
  #behaviour = GOOD_BEHAVIOUR;
  #records;
  #presented = new Map(); // SHA-256 of a refresh token -> how often it was presented

  constructor() {
    this.reset();
  }

  /** Forgets what was recorded; the behaviour stays. */
  reset() {
    this.#records = { counts: {}, tokens: { access: [], refresh: [], id: [], codes: [] }, token_requests: [], reused_refresh_tokens: 0 };
  }

  /** Replaces the behaviour; `{}` is good behaviour. */
  behave(given) {
    this.#behaviour = merge(GOOD_BEHAVIOUR, given, 'behaviour');
  }

  state() {
    return { ...this.#records, behaviour: this.#behaviour };
  }

  /** Whether this connection is to be cut at once. */
  cuts() {
    return this.#behaviour.down && this.#spend();
  }

  /** Counts a request and records the authorization code that its answer may carry. */
  watch(request, response, path) {
    const endpoint = ENDPOINTS.get(path);
    if (endpoint) this.#count(endpoint);
    response.once('finish', () => {
      const location = response.getHeader('location');
      const code = location && new URL(location, 'http://relative.invalid').searchParams.get('code');
      if (code) this.#records.tokens.codes.push(code);
    });
  }

  /** Takes a token request through the current behaviour. `pass` hands it to the provider. */
  async token({ request, response, form, keys, pass }) {
    const seen = this.#recordTokenRequest(request, response, form);
    const behaviour = this.#behaviourFor(form.get('grant_type'));
    const refusal = refusalOf(behaviour);
    if (refusal) {
      await delay(behaviour.token_delay_ms);
      return answer(response, refusal.status, refusal.body);
    }
    const end = response.end.bind(response);
    response.end = (text) => {
      const body = JSON.parse(text);
      this.#recordTokens(seen, response.statusCode, body);
      this.#finish(request, response, behaviour, bent(body, behaviour, keys), end);
      return response;
    };
    return pass();
  }

  #finish(request, response, behaviour, body, end) {
    if (behaviour.drop_after_processing) {
      request.socket.destroy();
      return;
    }
    const text = JSON.stringify(body);
    response.setHeader('content-length', Buffer.byteLength(text));
    if (behaviour.token_delay_ms > 0) setTimeout(end, behaviour.token_delay_ms, text);
    else end(text);
  }

  #behaviourFor(grantType) {
    const { only } = this.#behaviour;
    const misbehaves = this.#behaviour !== GOOD_BEHAVIOUR && !this.#behaviour.down && (only === null || only === grantType);
    if (!misbehaves) return GOOD_BEHAVIOUR;
    const behaviour = this.#behaviour;
    this.#spend();
    return behaviour;
  }

  /** One misbehaviour less to go; always true, so that it can stand at the end of a condition. */
  #spend() {
    const { times } = this.#behaviour;
    if (times !== null) this.#behaviour = times > 1 ? { ...this.#behaviour, times: times - 1 } : GOOD_BEHAVIOUR;
    return true;
  }

  #count(endpoint) {
    this.#records.counts[endpoint] = (this.#records.counts[endpoint] ?? 0) + 1;
  }

  #recordTokenRequest(request, response, form) {
    const seen = { grant_type: form.get('grant_type'), ...clientAuthentication(request, form), at: Date.now(), ok: false };
    const refreshToken = form.get('refresh_token');
    if (refreshToken) {
      seen.refresh_token_sha256 = createHash('sha256').update(refreshToken).digest('hex');
      seen.presented = (this.#presented.get(seen.refresh_token_sha256) ?? 0) + 1;
      this.#presented.set(seen.refresh_token_sha256, seen.presented);
      if (seen.presented > 1) this.#records.reused_refresh_tokens += 1;
    }
    response.once('close', () => {
      seen.answered_ms = Date.now() - seen.at;
      seen.client_gone = !response.writableFinished;
    });
    this.#count(`token.${seen.grant_type}`);
    this.#records.token_requests.push(seen);
    return seen;
  }

  #recordTokens(seen, status, body) {
    Object.assign(seen, { ok: status === 200, status, error: body.error, error_description: body.error_description });
    const { access, refresh, id } = this.#records.tokens;
    if (body.access_token) access.push(body.access_token);
    if (body.refresh_token) refresh.push(body.refresh_token);
    if (body.id_token) id.push(body.id_token);
  }
}

/** The answer that keeps a token request away from the provider, if the behaviour says so. */
function refusalOf({ token_error: error, token_status: status }) {
  if (error !== null) return { status: error === 'invalid_client' ? 401 : 400, body: { error } };
  if (status !== null) return { status, body: { error: 'server_error' } };
  return undefined;
}

/** The token answer as the behaviour wants it. */
function bent(body, behaviour, keys) {
  const result = { ...body, ...behaviour.set };
  if (behaviour.id_token_from_other_sub && result.id_token) {
    result.id_token = resignWith(result.id_token, keys, { sub: 'somebody-else' });
  }
  for (const name of behaviour.omit) delete result[name];
  return result;
}

function clientAuthentication(request, form) {
  const header = request.headers.authorization ?? '';
  if (header.startsWith('Basic ')) {
    const [id] = Buffer.from(header.slice('Basic '.length), 'base64').toString().split(':');
    return { client_auth: form.has('client_secret') ? 'basic and post' : 'basic', client_id: decodeURIComponent(id.replaceAll('+', ' ')) };
  }
  return { client_auth: form.has('client_secret') ? 'post' : 'none', client_id: form.get('client_id') };
}

/** A JSON answer. */
export function answer(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
