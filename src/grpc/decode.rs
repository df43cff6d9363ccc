//! From Envoy's `CheckRequest` to our request. Borrows everything.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::address::Address;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};

use crate::core::cookie::CookieText;
use crate::core::request::{Headers, Request};

/// Reads both header forms: `header_map` (`encode_raw_headers`: raw lines) and `headers` (repeated fields joined by
/// commas). What is absent becomes empty, which no app and no path rule accepts.
pub(super) fn request(check: &CheckRequest) -> Request<'_> {
    let attributes = check.attributes.as_ref();
    let http = attributes.and_then(|attributes| attributes.request.as_ref()).and_then(|request| request.http.as_ref());
    let (headers, cookies) = http.map(fields).unwrap_or_default();
    let extension =
        |name: &str| attributes.and_then(|attributes| attributes.context_extensions.get(name)).map(String::as_str);
    Request {
        method: http.map_or("", |http| &http.method),
        target: http.map_or("", |http| &http.path),
        host: http.map_or("", |http| &http.host),
        client: client(&headers, attributes),
        headers,
        cookies,
        app: extension("app"),
        policy: extension("policy"),
    }
}

fn fields(http: &HttpRequest) -> (Headers<'_>, CookieText<'_>) {
    let Some(map) = http.header_map.as_ref().filter(|map| !map.headers.is_empty()) else {
        let fields = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let cookies = http.headers.get("cookie").map(|line| CookieText::joined(line.as_bytes())).unwrap_or_default();
        return (Headers::new(fields), cookies);
    };
    let fields: Vec<(&str, &[u8])> = map
        .headers
        .iter()
        .map(|header| {
            let raw = header.raw_value.as_slice();
            (header.key.as_str(), if raw.is_empty() { header.value.as_bytes() } else { raw })
        })
        .collect();
    let cookies = fields.iter().filter(|(name, _)| *name == "cookie").map(|(_, value)| *value).collect();
    (Headers::new(fields), CookieText::raw(cookies))
}

/// Envoy's own view of the client behind trusted proxies, else the TCP peer. `X-Forwarded-For` is the client's word.
fn client(headers: &Headers<'_>, attributes: Option<&AttributeContext>) -> Option<IpAddr> {
    let external = headers.single("x-envoy-external-address").and_then(|text| text.parse().ok());
    external.or_else(|| attributes.and_then(|attributes| attributes.source.as_ref()).and_then(peer_address))
}

fn peer_address(peer: &Peer) -> Option<IpAddr> {
    match peer.address.as_ref()?.address.as_ref()? {
        Address::SocketAddress(socket) => socket.address.parse().ok(),
        Address::Pipe(_) | Address::EnvoyInternalAddress(_) => None,
    }
}
