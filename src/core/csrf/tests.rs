//! The matrix of sites, modes, methods and origins.

use super::*;
use crate::core::fixtures::{app, request};

fn standing(line: &str, headers: &[(&str, &str)]) -> Standing {
    judge(&request(line, headers), &app())
}

#[test]
fn fetch_metadata_decides_where_it_is_there() {
    let visit = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let image = [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    for (line, site, more, trusted) in [
        ("POST /x", "same-origin", &image[..], true),
        ("GET /x", "same-origin", &image[..], true),
        ("GET /x", "none", &visit[..], true),
        ("POST /x", "none", &visit[..], false),
        ("GET /x", "cross-site", &visit[..], true),
        ("HEAD /x", "cross-site", &visit[..], true),
        ("POST /x", "cross-site", &visit[..], false),
        ("GET /x", "cross-site", &frame[..], false),
        ("GET /x", "cross-site", &image[..], false),
        ("GET /x", "same-site", &image[..], false),
        ("POST /x", "same-site", &image[..], false),
        ("DELETE /x", "cross-site", &image[..], false),
        ("PROPFIND /x", "cross-site", &image[..], false),
    ] {
        let headers: Vec<(&str, &str)> = more.iter().copied().chain([("sec-fetch-site", site)]).collect();
        let expected = if trusted { Standing::Trusted } else { Standing::Untrusted };
        assert_eq!(standing(line, &headers), expected, "{line} {site} {more:?}");
    }
}

#[test]
fn without_fetch_metadata_origin_then_referer_decide() {
    for (line, headers, trusted) in [
        ("POST /x", vec![("origin", "https://shop.example.com")], true),
        ("POST /x", vec![("origin", "https://partner.example")], true),
        ("POST /x", vec![("origin", "https://evil.example")], false),
        ("POST /x", vec![("origin", "https://shop.example.com.evil.example")], false),
        ("POST /x", vec![("origin", "null")], false),
        ("POST /x", vec![("origin", "https://shop.example.com"), ("origin", "https://evil.example")], false),
        ("POST /x", vec![("origin", "null"), ("referer", "https://shop.example.com/")], false),
        ("POST /x", vec![("referer", "https://shop.example.com/page?x")], true),
        ("POST /x", vec![("referer", "https://shop.example.com@evil.example/")], false),
        ("POST /x", vec![("referer", "https://evil.example/https://shop.example.com")], false),
        ("POST /x", vec![("referer", "garbage")], false),
        ("POST /x", vec![], false),
        ("GET /x", vec![], true),
        ("GET /x", vec![("referer", "https://elsewhere.example/")], true),
        ("GET /x", vec![("origin", "https://evil.example")], false),
        ("POST /x", vec![("sec-fetch-site", "sideways"), ("origin", "https://shop.example.com")], true),
        ("POST /x", vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
    ] {
        let expected = if trusted { Standing::Trusted } else { Standing::Untrusted };
        assert_eq!(standing(line, &headers), expected, "{line} {headers:?}");
    }
}

#[test]
fn a_trusted_origin_may_act_across_sites() {
    let from_partner = [("sec-fetch-site", "cross-site"), ("origin", "https://partner.example")];
    assert_eq!(standing("POST /x", &from_partner), Standing::Trusted);
}

#[test]
fn websockets_are_judged_like_unsafe_methods() {
    let upgrade = ("upgrade", "WebSocket");
    assert_eq!(standing("GET /x", &[upgrade]), Standing::Untrusted);
    assert_eq!(standing("GET /x", &[upgrade, ("origin", "https://shop.example.com")]), Standing::Trusted);
    let cross = [upgrade, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "websocket")];
    assert_eq!(standing("GET /x", &cross), Standing::Untrusted);
    assert_eq!(standing("GET /x", &[upgrade, ("sec-fetch-site", "same-origin")]), Standing::Trusted);
}

#[test]
fn the_static_header_is_asked_of_everything_but_visits() {
    let mut app = app();
    app.csrf.header = Some(("x-csrf".into(), "1".into()));
    let same = ("sec-fetch-site", "same-origin");
    for (line, headers, expected) in [
        ("GET /x", vec![same], Standing::Untrusted),
        ("GET /x", vec![same, ("x-csrf", "0")], Standing::Untrusted),
        ("GET /x", vec![same, ("x-csrf", "1"), ("x-csrf", "1")], Standing::Untrusted),
        ("GET /x", vec![same, ("x-csrf", "1")], Standing::Trusted),
        ("POST /x", vec![same, ("x-csrf", "1")], Standing::Trusted),
        ("GET /x", vec![same, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], Standing::Trusted),
        ("POST /x", vec![("sec-fetch-site", "cross-site"), ("x-csrf", "1")], Standing::Untrusted),
    ] {
        assert_eq!(judge(&request(line, &headers), &app), expected, "{line} {headers:?}");
    }
}

#[test]
fn switched_off_it_trusts() {
    let mut app = app();
    app.csrf.enabled = false;
    assert_eq!(judge(&request("POST /x", &[]), &app), Standing::Trusted);
}
