//! The lazy reader sees what `envoy-types` decodes.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::{Address, HeaderMap, HeaderValue, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as Described};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn check(http: HttpRequest, extensions: HashMap<String, String>, ip: &str) -> CheckRequest {
    let socket = SocketAddress { address: ip.to_owned(), ..SocketAddress::default() };
    let address = Address { address: Some(AddressKind::SocketAddress(socket)) };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer { address: Some(address), service: "s".into(), ..Peer::default() }),
            request: Some(Described { http: Some(http), ..Described::default() }),
            context_extensions: extensions,
            ..AttributeContext::default()
        }),
    }
}

fn sorted<'a>(headers: &Headers<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> = headers.names().collect();
    names.sort_unstable();
    names
}

proptest! {
    #[test]
    fn the_joined_form_is_read_like_envoy_types_does(
        line in ("[A-Z]{0,8}", "\\PC{0,30}", "\\PC{0,20}"),
        headers in proptest::collection::hash_map("[a-z-]{1,12}", "\\PC{0,30}", 0..12),
        extensions in proptest::collection::hash_map("app|policy|other", "[a-z]{0,8}", 0..3),
        noise in ("\\PC{0,10}", any::<i64>(), proptest::collection::vec(any::<u8>(), 0..20)),
    ) {
        let (method, path, host) = line;
        let (body, size, raw_body) = noise;
        let sent = if raw_body.is_empty() { body.clone().into_bytes() } else { raw_body.clone() };
        let http = HttpRequest {
            method: method.clone(), path: path.clone(), host: host.clone(), headers: headers.clone(),
            body, size, raw_body, ..HttpRequest::default()
        };
        let bytes = check(http, extensions.clone(), "192.0.2.1").encode_to_vec();
        let read = request(&bytes).unwrap();
        prop_assert_eq!((read.method, read.target, read.host), (method.as_str(), path.as_str(), host.as_str()));
        prop_assert_eq!(read.body, sent.as_slice());
        prop_assert_eq!(read.app, extensions.get("app").map(String::as_str));
        prop_assert_eq!(read.policy, extensions.get("policy").map(String::as_str));
        prop_assert_eq!(sorted(&read.headers).len(), headers.len());
        for (name, value) in &headers {
            prop_assert_eq!(read.headers.single(name), Some(value.as_str()));
        }
    }

    #[test]
    fn the_raw_form_keeps_order_repeats_and_odd_bytes(
        fields in proptest::collection::vec(("cookie|x-a|x-b", proptest::collection::vec(1..=255_u8, 1..20)), 1..8),
    ) {
        let headers = fields
            .iter()
            .map(|(key, raw)| HeaderValue { key: key.clone(), value: String::new(), raw_value: raw.clone() })
            .collect();
        let http = HttpRequest { header_map: Some(HeaderMap { headers }), ..HttpRequest::default() };
        let bytes = check(http, HashMap::new(), "::1").encode_to_vec();
        let read = request(&bytes).unwrap();
        let names: Vec<&str> = read.headers.names().collect();
        let expected: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, expected);
        prop_assert_eq!(read.client, "::1".parse().ok());
    }

    #[test]
    fn bytes_that_are_no_check_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let ours = request(&bytes);
        // What envoy-types refuses for its structure we may not even look at; what it accepts we accept.
        if CheckRequest::decode(bytes.as_slice()).is_ok() {
            prop_assert!(ours.is_ok());
        }
    }

    #[test]
    fn a_cut_or_flipped_check_never_panics(at in 0..300_usize, bit in 0..8_u8) {
        let http = HttpRequest { method: "GET".into(), path: "/x".into(), host: "h".into(), ..HttpRequest::default() };
        let mut bytes = check(http, HashMap::from([("app".into(), "shop".into())]), "192.0.2.1").encode_to_vec();
        let at = at % bytes.len();
        let _ = request(&bytes[..at]);
        bytes[at] ^= 1 << bit;
        let _ = request(&bytes);
    }
}

#[test]
fn an_empty_check_is_a_request_that_no_app_takes() {
    let read = request(&[]).unwrap();
    assert_eq!((read.method, read.target, read.host, read.app), ("", "", "", None));
}

#[test]
fn the_client_is_whom_envoy_names_else_the_peer() {
    let with = |headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let bytes =
            check(HttpRequest { headers, ..HttpRequest::default() }, HashMap::new(), "10.0.0.1").encode_to_vec();
        request(&bytes).unwrap().client.map(|ip| ip.to_string())
    };
    assert_eq!(with(&[]).as_deref(), Some("10.0.0.1"));
    assert_eq!(with(&[("x-forwarded-for", "6.6.6.6, 192.0.2.7")]).as_deref(), Some("192.0.2.7"));
    let both = [("x-forwarded-for", "192.0.2.7"), ("x-envoy-external-address", "203.0.113.9")];
    assert_eq!(with(&both).as_deref(), Some("203.0.113.9"));
}
