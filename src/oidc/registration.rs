//! Our registration at the provider and how we prove it (RFC 6749 §2.3.1). One way, the configured one:
//! nothing is probed, because a second try would send a code or refresh token twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use crate::config::{ClientAuth, ProviderConfig};

/// Client id, secret and method.
pub(super) struct Registration {
    id: String,
    secret: SecretString,
    auth: ClientAuth,
}

impl Registration {
    pub(super) fn new(config: &ProviderConfig) -> Self {
        Self { id: config.client_id.clone(), secret: config.client_secret.clone(), auth: config.client_auth }
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// Puts the form and our credentials on a request.
    pub(super) fn sign(&self, request: RequestBuilder, form: &[(&str, &str)]) -> RequestBuilder {
        let mut body = Serializer::new(String::new());
        body.extend_pairs(form);
        let request =
            request.header(ACCEPT, "application/json").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match self.auth {
            ClientAuth::Basic => request.header(AUTHORIZATION, self.basic()),
            ClientAuth::Post => {
                body.append_pair("client_id", &self.id).append_pair("client_secret", self.secret());
                request
            }
        };
        request.body(body.finish())
    }

    /// Both parts are form-urlencoded before they are joined: a `:` or `%` in them would otherwise be read
    /// as something else.
    fn basic(&self) -> HeaderValue {
        let id: String = byte_serialize(self.id.as_bytes()).collect();
        let secret: Zeroizing<String> = Zeroizing::new(byte_serialize(self.secret().as_bytes()).collect());
        let pair = Zeroizing::new(format!("{id}:{}", *secret));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        // Base64 is always a legal header value.
        let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn registration(id: &str, secret: &str, auth: ClientAuth) -> Registration {
        Registration::new(&ProviderConfig {
            name: "main".into(),
            issuer: "https://id.example.com".into(),
            client_id: id.into(),
            client_secret: secret.into(),
            client_auth: auth,
            timeout: Duration::from_secs(1),
            clock_skew: Duration::from_secs(1),
            signing_algorithms: Vec::new(),
            trusted_audiences: Vec::new(),
            ca: None,
            default_token_lifetime: Duration::from_secs(1),
        })
    }

    #[test]
    fn basic_form_urlencodes_both_parts_before_joining_them() {
        let value = registration("shop:1 ü", "p%+/=&:~ s", ClientAuth::Basic).basic();
        let text = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        let pair = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        assert_eq!(pair, "shop%3A1+%C3%BC:p%25%2B%2F%3D%26%3A%7E+s");
        assert!(value.is_sensitive());
    }
}
