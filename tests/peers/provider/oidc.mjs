// The real provider: oidc-provider with our people, our pages, consent given by itself, and lifetimes that can change while it runs.

import { Provider } from 'oidc-provider';

import { claimsByScope, findAccount, parseLogin } from './accounts.mjs';
import { errorPage, loginPage, logoutPage, signedOutPage } from './views.mjs';

/** Where its endpoints are; the control layer counts by these. */
export const routes = {
  authorization: '/authorize',
  token: '/token',
  jwks: '/jwks',
  userinfo: '/userinfo',
  revocation: '/revoke',
  end_session: '/logout',
};

/**
 * A provider for `issuer`. `settings` is read at every request where oidc-provider allows it (lifetimes, rotation), the rest once;
 * `storage` and `cookieKeys` outlive the object.
 */
export function createProvider({ issuer, settings, keys, storage, cookieKeys }) {
  const lifetime = (name) => () => settings.lifetimes[name];
  return new Provider(issuer, {
    adapter: storage.adapter,
    jwks: { keys },
    clients: settings.clients,
    clientDefaults: { grant_types: ['authorization_code', 'refresh_token'] },
    cookies: { keys: cookieKeys },
    routes,
    claims: claimsByScope,
    conformIdTokenClaims: false, // the ID token carries the claims, not only the userinfo answer
    findAccount,
    pkce: { required: () => true },
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: () => settings.rotate_refresh_tokens,
    expiresWithSession: async () => false, // as with offline_access: the tokens outlive the provider's own session
    loadExistingGrant: grantEverything,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    renderError: async (ctx, out) => {
      ctx.type = 'html';
      ctx.body = errorPage(out);
    },
    ttl: {
      AccessToken: lifetime('access_token'),
      AuthorizationCode: lifetime('code'),
      IdToken: lifetime('id_token'),
      RefreshToken: lifetime('refresh_token'),
      Grant: lifetime('refresh_token'),
      Session: lifetime('session'),
      Interaction: () => 3600,
    },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      revocation: { enabled: settings.revocation },
      rpInitiatedLogout: {
        enabled: settings.end_session,
        logoutSource: async (ctx, form) => { ctx.body = logoutPage(form); },
        postLogoutSuccessSource: async (ctx) => { ctx.body = signedOutPage(); },
      },
      resourceIndicators: resourceIndicators(settings),
    },
    // oidc-provider refuses to call loopback addresses, which is where a test's back-channel logout endpoint is.
    fetch: (url, { dispatcher: _refusesLoopback, ...options }) => globalThis.fetch(url, options),
  });
}

/** oidc-provider issues JWT access tokens only for a resource: name one by default. */
function resourceIndicators(settings) {
  if (!settings.jwt_access_tokens) return { enabled: false };
  return {
    enabled: true,
    defaultResource: async () => settings.audience,
    useGrantedResource: async () => true,
    getResourceServerInfo: async () => ({
      scope: '',
      audience: settings.audience,
      accessTokenFormat: 'jwt',
      accessTokenTTL: settings.lifetimes.access_token,
      jwt: { sign: { alg: 'RS256' } },
    }),
  };
}

/** No consent page: every login gets a new grant of all it asks for (so a family of refresh tokens is one login). */
async function grantEverything(ctx) {
  const { client, session, provider, params } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope ?? 'openid');
  await grant.save();
  return grant;
}

/** The login form: GET shows it, POST (`login=...&password=...`) signs in and goes back to the authorization request. */
export async function handleInteraction(provider, request, response, readForm) {
  const { prompt, params, uid } = await provider.interactionDetails(request, response);
  const action = `/interaction/${uid}`;
  if (prompt.name !== 'login') throw new Error(`no page for the prompt ${prompt.name}`);
  if (request.method !== 'POST') return sendPage(response, 200, loginPage({ action, hint: params.login_hint }));

  const login = parseLogin((await readForm()).get('login'));
  if (!login) return sendPage(response, 422, loginPage({ action, error: 'That is not a name: letters, digits, dot, dash.' }));
  return provider.interactionFinished(request, response, { login: { accountId: login } });
}

function sendPage(response, status, html) {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(html);
}
