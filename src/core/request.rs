//! A request as Envoy describes it, reduced to what is decided on.

use std::net::IpAddr;

use super::cookie::{CookieText, Sender};

/// One request to be checked. Only the ticket in its cookie is trusted; the rest chooses how it is refused.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The method, upper case as HTTP writes it.
    pub method: &'a str,
    /// The raw request target with query, as it arrived.
    pub target: &'a str,
    /// The `Host` or `:authority`.
    pub host: &'a str,
    /// Header fields, pseudo fields such as `:path` included.
    pub headers: Headers<'a>,
    /// The `Cookie` header.
    pub cookies: CookieText<'a>,
    /// `context_extensions["app"]`.
    pub app: Option<&'a str>,
    /// `context_extensions["policy"]`.
    pub policy: Option<&'a str>,
    /// The body, where Envoy was told to send it along (`with_request_body`); else empty.
    pub body: &'a [u8],
    /// The client's address: `x-envoy-external-address`, else the TCP peer.
    pub client: Option<IpAddr>,
}

/// Header fields, names in lower case (Envoy lower-cases them).
#[derive(Debug, Clone, Default)]
pub struct Headers<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Headers<'a> {
    /// Takes fields in order of arrival; a name may stand several times.
    #[must_use]
    pub const fn new(fields: Vec<(&'a str, &'a [u8])>) -> Self {
        Self(fields)
    }

    /// The value of a field that stands once and is UTF-8. `None` for an absent field and for a repeated one, which
    /// nobody can rely on.
    #[must_use]
    pub fn single(&self, name: &str) -> Option<&'a str> {
        let mut values = self.0.iter().filter(|(known, _)| *known == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => std::str::from_utf8(value).ok(),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }

    /// Who sends it: browsers show Fetch Metadata.
    #[must_use]
    pub fn sender(&self) -> Sender {
        if self.has("sec-fetch-site") { Sender::Browser } else { Sender::Program }
    }

    /// Whether a field is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().copied()
    }

    /// All field names.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(name, _)| *name)
    }
}
