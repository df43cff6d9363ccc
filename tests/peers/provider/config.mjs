// What a test or the demo may ask of the provider. Unknown keys are refused, so that a typing error cannot pass for a passing test.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const DEFAULTS = {
  /** Client registrations, in the names of OpenID Connect Dynamic Client Registration. */
  clients: [{
    client_id: 'demo',
    client_secret: 'demo-secret',
    redirect_uris: ['http://localhost:8080/auth/callback'],
    post_logout_redirect_uris: ['http://localhost:8080/auth/logout/done'],
    token_endpoint_auth_method: 'client_secret_basic',
  }],
  /** Seconds. */
  lifetimes: { access_token: 300, refresh_token: 86_400, id_token: 3600, code: 60, session: 86_400 },
  /** A new refresh token at every refresh; a used one that comes again revokes the whole family. */
  rotate_refresh_tokens: true,
  /** `true`: access tokens are JWTs for `audience` (the userinfo endpoint then refuses them); `false`: opaque. */
  jwt_access_tokens: false,
  audience: 'urn:coatcheck:test-api',
  /** RP-initiated logout and token revocation: `false` takes the endpoint out of the discovery document. */
  end_session: true,
  revocation: true,
};

/** Reads `[--host NAME] [--port N] [--config JSON|@FILE]`, and the variables PORT and PROVIDER_CONFIG. */
export function readConfig(argv, env) {
  const { values } = parseArgs({
    args: argv,
    options: { host: { type: 'string' }, port: { type: 'string' }, config: { type: 'string' } },
  });
  const text = values.config ?? env.PROVIDER_CONFIG ?? '{}';
  const given = JSON.parse(text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text);
  return {
    host: values.host ?? '127.0.0.1',
    port: Number(values.port ?? env.PORT ?? 0),
    settings: { ...merge(DEFAULTS, given, 'config'), lifetimes: merge(DEFAULTS.lifetimes, given.lifetimes ?? {}, 'lifetimes') },
  };
}

/** `base` with the keys of `given` laid over it; throws on a key that `base` does not know. */
export function merge(base, given, what) {
  for (const key of Object.keys(given)) {
    if (!(key in base)) throw new TypeError(`${what}: unknown key ${JSON.stringify(key)}; there are: ${Object.keys(base).join(', ')}`);
  }
  return { ...base, ...given };
}
