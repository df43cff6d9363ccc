//! Makes tokens, good and bad, with keys of its own.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A signing key with its id.
pub(crate) struct Signer {
    pub(crate) kid: String,
    key: Key,
}

impl Signer {
    pub(crate) fn ec(kid: &str) -> Self {
        let key = Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        Self { kid: kid.into(), key }
    }

    pub(crate) fn rsa(kid: &str) -> Self {
        Self { kid: kid.into(), key: Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Ec(_) => "ES256",
            Key::Rsa(_) => "RS256",
        }
    }

    /// The public key as the provider publishes it.
    pub(crate) fn jwk(&self) -> Value {
        match &self.key {
            Key::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid,
                        "x": encode(&point[1..33]), "y": encode(&point[33..65]) })
            }
            Key::Rsa(key) => {
                let (modulus, exponent) = numbers(key);
                json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
                        "n": encode(&modulus), "e": encode(&exponent) })
            }
        }
    }

    /// The header that goes with this key.
    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.algorithm(), "kid": self.kid, "typ": "JWT" })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// Signs under any header, whatever it claims.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Ec(key) => key.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{input}.{}", encode(&signature))
    }

    /// The classic confusion: an HMAC whose key is the *public* key, in each form it circulates in.
    pub(crate) fn confused(&self, claims: &Value) -> Vec<String> {
        let Key::Rsa(key) = &self.key else { panic!("an RSA key is confused") };
        let public = key.public_key();
        let der = public.as_der().unwrap().as_ref().to_vec();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            base64::engine::general_purpose::STANDARD.encode(&der)
        );
        let (modulus, _) = numbers(key);
        [der, pem.into_bytes(), modulus].iter().map(|secret| hs256(&self.kid, secret, claims)).collect()
    }
}

/// A token with a MAC.
pub(crate) fn hs256(kid: &str, secret: &[u8], claims: &Value) -> String {
    let input = signing_input(&json!({ "alg": "HS256", "kid": kid }), claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", encode(tag.as_ref()))
}

/// A token without a signature.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", signing_input(header, claims))
}

/// `at_hash` of SHA-256 algorithms.
pub(crate) fn at_hash(access: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access.as_bytes());
    encode(&digest.as_ref()[..16])
}

/// Modulus and exponent out of the PKCS#1 encoding, whose layout is fixed for 2048 bits and e = 65537.
fn numbers(key: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    let der = key.public_key().as_ref();
    assert_eq!(der.len(), 270, "SEQUENCE (4), INTEGER (4 + 1 + 256), INTEGER (2 + 3)");
    (der[9..265].to_vec(), der[267..].to_vec())
}

fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
