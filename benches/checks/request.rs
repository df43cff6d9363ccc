//! A check as Envoy sends it for a page of a shop: 22 headers, about 1.1 KB.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};

const HEADERS: [(&str, &str); 20] = [
    (":authority", "shop.example.com"),
    (":method", "GET"),
    (":scheme", "https"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("priority", "u=1, i"),
    ("referer", "https://shop.example.com/products"),
    ("sec-ch-ua", "\"Chromium\";v=\"156\", \"Not:A-Brand\";v=\"24\", \"Google Chrome\";v=\"156\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-origin"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    ),
    ("x-forwarded-for", "203.0.113.57"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "6f2d3c1e-9b0a-4a57-8a35-0b8e6f1f7c11"),
];

/// A check of a path, with the session cookie among others where there is one.
pub(crate) fn check(path: &str, cookie: Option<&str>) -> CheckRequest {
    let mut headers: HashMap<String, String> =
        HEADERS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.insert(":path".to_owned(), path.to_owned());
    let others = "theme=dark; locale=en_GB; consent=eyJhbmFseXRpY3MiOmZhbHNlLCJhZHMiOmZhbHNlfQ";
    let cookies = match cookie {
        Some(value) => format!("{others}; __Host-Http-coatcheck={value}"),
        None => others.to_owned(),
    };
    headers.insert("cookie".to_owned(), cookies);
    let http = HttpRequest {
        id: "10845193774230120921".to_owned(),
        method: "GET".to_owned(),
        headers,
        path: path.to_owned(),
        host: "shop.example.com".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/2".to_owned(),
        ..HttpRequest::default()
    };
    let attributes = AttributeContext {
        source: Some(peer("203.0.113.57", 51_234)),
        destination: Some(peer("10.0.3.17", 8443)),
        request: Some(Request { time: None, http: Some(http) }),
        context_extensions: HashMap::from([("app".to_owned(), "shop".to_owned())]),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }
}

fn peer(address: &str, port: u32) -> Peer {
    let socket = SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    Peer { address: Some(Address { address: Some(AddressKind::SocketAddress(socket)) }), ..Peer::default() }
}
