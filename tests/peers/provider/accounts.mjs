// The people of the test provider. Anyone may sign in; alice and bob have known groups.

const GROUPS = new Map([
  ['alice', ['staff', 'dev']],
  ['bob', ['dev']],
]);

/** Which scope opens which claims. */
export const claimsByScope = {
  openid: ['sub', 'groups'],
  email: ['email', 'email_verified'],
  profile: ['name', 'preferred_username'],
};

function claimsOf(login) {
  return {
    sub: login,
    name: login.charAt(0).toUpperCase() + login.slice(1),
    preferred_username: login,
    email: `${login}@example.com`,
    email_verified: true,
    groups: GROUPS.get(login) ?? [],
  };
}

/** oidc-provider's account lookup: the login name is the subject. */
export function findAccount(_ctx, login) {
  return { accountId: login, claims: async () => claimsOf(login) };
}

/** A login name as typed into the form, or `undefined` when it cannot be one. */
export function parseLogin(text) {
  const login = (text ?? '').trim().toLowerCase();
  return /^[a-z0-9][a-z0-9._-]{0,63}$/.test(login) ? login : undefined;
}
