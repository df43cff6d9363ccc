//! Signing for the hostile provider: honest ES256 tokens and every kind of forgery a client must refuse.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// One signing key.
pub struct Key {
    pub kid: String,
    pair: EcdsaKeyPair,
}

/// What is wrong with a token's protection.
#[derive(Clone, Copy, Debug)]
pub enum Forgery {
    AlgNone,
    Hs256WithPublicKey,
    Hs256WithClientSecret,
    EmbeddedKey,
    UnknownKid,
    BrokenSignature,
}

impl Key {
    /// A fresh P-256 key.
    pub fn generate(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { kid: kid.to_owned(), pair }
    }

    /// The public half, as a JWK.
    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
                "x": encode(x), "y": encode(y) })
    }

    /// An honest token.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid });
        self.signed(&input(&header, claims))
    }

    /// A forged token.
    pub fn forge(&self, claims: &Value, forgery: Forgery, client_secret: &str) -> String {
        match forgery {
            Forgery::AlgNone => format!("{}.", input(&json!({ "alg": "none" }), claims)),
            Forgery::Hs256WithPublicKey => {
                let header = json!({ "alg": "HS256", "kid": self.kid });
                hmac_signed(&input(&header, claims), self.pair.public_key().as_ref())
            }
            Forgery::Hs256WithClientSecret => {
                hmac_signed(&input(&json!({ "alg": "HS256" }), claims), client_secret.as_bytes())
            }
            Forgery::EmbeddedKey => {
                let other = Self::generate("embedded");
                let header = json!({ "alg": "ES256", "jwk": other.jwk(), "kid": "embedded" });
                other.signed(&input(&header, claims))
            }
            Forgery::UnknownKid => Self::generate("nobody-knows-this").sign(claims),
            Forgery::BrokenSignature => {
                let other = Self::generate(&self.kid);
                other.sign(claims)
            }
        }
    }

    fn signed(&self, input: &str) -> String {
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).expect("signs");
        format!("{input}.{}", encode(signature.as_ref()))
    }
}

/// The `at_hash` of an access token under a SHA-256 algorithm.
pub fn at_hash(access_token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
    encode(&hash.as_ref()[..16])
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

fn hmac_signed(input: &str, key: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    format!("{input}.{}", encode(hmac::sign(&key, input.as_bytes()).as_ref()))
}
