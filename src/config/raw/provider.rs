//! `providers` as written.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Span;

/// An OpenID provider and our registration there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "provider")]
pub(in crate::config) struct Provider {
    /// Its name: what `apps[].provider` refers to. Letters, digits, `-`, `_`, `.`; at most 64.
    #[schemars(required)]
    pub(in crate::config) name: Option<String>,
    /// Its issuer, exactly as the provider writes it (OpenID Connect Discovery §4.3). `http://` only for loopback
    /// hosts; no user, query or fragment.
    #[schemars(required)]
    pub(in crate::config) issuer: Option<String>,
    /// Our client id at the provider.
    #[schemars(required)]
    pub(in crate::config) client_id: Option<String>,
    /// Our client secret, best as `${NAME}`; a plain value is accepted with a warning. This or
    /// `client_secret_file` is required: coatcheck is a confidential client (RFC 10017 §6.1.3.1).
    #[schemars(with = "Option<String>")]
    pub(in crate::config) client_secret: Option<SecretString>,
    /// A file with our client secret; a line end after it does not count.
    pub(in crate::config) client_secret_file: Option<String>,
    /// How we authenticate at the token endpoint (RFC 6749 §2.3.1).
    #[serde(default = "client_auth")]
    pub(in crate::config) client_auth: ClientAuth,
    /// The scopes we ask for; `openid` must be among them. Without `offline_access` many providers give no refresh
    /// token, and sessions end with the first access token; some (Google) refuse it: leave it out there.
    #[serde(default = "scopes")]
    pub(in crate::config) scopes: Vec<String>,
    /// Each call to the provider ends within this time. `100ms` to `60s`.
    #[serde(default = "timeout")]
    pub(in crate::config) timeout: Span,
    /// How far its clock may differ from ours. `0s` to `5m`.
    #[serde(default = "clock_skew")]
    pub(in crate::config) clock_skew: Span,
    /// Algorithms an ID token may be signed with (JWA names, RFC 7518 §3.1); asymmetric ones only.
    #[serde(default = "signing_algorithms")]
    #[schemars(length(min = 1))]
    pub(in crate::config) signing_algorithms: Vec<Algorithm>,
    /// Audiences beside our client id that an ID token may name (OpenID Connect Core §3.1.3.7).
    #[serde(default)]
    pub(in crate::config) trusted_audiences: Vec<String>,
    /// A PEM file with an extra trust root for calls to the provider.
    pub(in crate::config) ca_file: Option<String>,
    /// Lifetime of an access token whose answer does not tell it (`expires_in`, RFC 6749 §5.1). `1s` to `24h`.
    #[serde(default = "default_token_lifetime")]
    pub(in crate::config) default_token_lifetime: Span,
}

fn client_auth() -> ClientAuth {
    ClientAuth::Basic
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec()
}

fn timeout() -> Span {
    "10s".into()
}

fn clock_skew() -> Span {
    "60s".into()
}

fn signing_algorithms() -> Vec<Algorithm> {
    use Algorithm::{EdDSA, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    vec![Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, EdDSA]
}

fn default_token_lifetime() -> Span {
    "5m".into()
}

/// How we authenticate at the token endpoint.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum ClientAuth {
    /// `Authorization: Basic`.
    Basic,
    /// `client_id` and `client_secret` in the body.
    Post,
}

/// An algorithm of a signature.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::config) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    #[serde(rename = "EdDSA")]
    EdDSA,
}

impl Algorithm {
    /// Its JWA name.
    pub(in crate::config) const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}
