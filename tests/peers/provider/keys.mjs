// The provider's signing keys: one RSA and one EC key per generation, so that a client may ask for RS256, PS256 or ES256.

import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/** A new generation of private keys as JWKs. */
export function generateKeys() {
  const generation = randomBytes(4).toString('hex');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  return [
    { ...rsa, kid: `rsa-${generation}`, use: 'sig' },
    { ...ec, kid: `ec-${generation}`, use: 'sig' },
  ];
}

/** The same token with some claims replaced, signed again by the key that its header names. */
export function resignWith(jwt, keys, claims) {
  const [header, payload] = jwt.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  const jwk = keys.find((key) => key.kid === header.kid);
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const input = [header, { ...payload, ...claims }].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const options = header.alg.startsWith('ES') ? { key, dsaEncoding: 'ieee-p1363' } : { key };
  return `${input}.${sign('sha256', Buffer.from(input), options).toString('base64url')}`;
}
