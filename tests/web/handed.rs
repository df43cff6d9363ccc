//! Requests that Check hands over (in-band mode): what only it knows travels beside HTTP, and makes nothing looser.

use axum::body::Body;
use coatcheck::core::in_band::{Extent, HandedOver, Lines};
use http::{Method, Request, StatusCode};

use crate::bed::{Bed, COOKIE};
use crate::browser::{Seen, send};

fn handed() -> HandedOver {
    HandedOver { app: "shop".into(), client: None, cookies: Lines::Joined, body: Extent::Whole }
}

async fn ask(bed: &Bed, handed: HandedOver, (method, target): (Method, &str), fields: &[(&str, &str)]) -> Seen {
    let mut request = Request::builder().method(method).uri(target).extension(handed);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    send(bed, request.body(Body::empty()).unwrap()).await
}

const SHOP: (&str, &str) = ("host", "shop.example.com");
const BROWSER: (&str, &str) = ("sec-fetch-site", "same-origin");

#[tokio::test]
async fn a_cookie_after_a_comma_counts_for_programs_only() {
    let bed = Bed::new();
    let session = bed.browser().sign_in().await;
    let line = format!("a=1,{COOKIE}={session}");
    let signed_in = |fields: Vec<(&'static str, String)>, handed| {
        let bed = &bed;
        async move {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let seen = ask(bed, handed, (Method::GET, "/auth/session"), &fields).await;
            seen.json()["authenticated"] == true
        }
    };
    let fields = |more: &[(&'static str, &str)]| {
        [SHOP, ("cookie", &line)].iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    assert!(signed_in(fields(&[]), handed()).await, "two lines of a program, joined by Envoy");
    assert!(!signed_in(fields(&[BROWSER]), handed()).await, "planted by a sibling domain");
    assert!(!signed_in(fields(&[]), HandedOver { cookies: Lines::Apart, ..handed() }).await, "part of a value");
}

/// Who could plant an attempt could sign others in as himself.
#[tokio::test]
async fn a_planted_attempt_after_a_comma_finishes_no_login() {
    let bed = Bed::new();
    let mut attacker = bed.browser();
    let callback = attacker.begin("/auth/login").await;
    let attempts: Vec<String> = attacker.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let planted = format!("a=1,{}", attempts.join("; "));
    let fields = [SHOP, ("sec-fetch-site", "cross-site"), ("accept", "text/html"), ("cookie", &*planted)];
    let seen = ask(&bed, handed(), (Method::GET, &callback), &fields).await;
    assert_eq!((seen.status, bed.provider.redemptions()), (StatusCode::BAD_REQUEST, 0), "{seen:?}");

    let own = attempts.join("; ");
    let fields = [SHOP, ("sec-fetch-site", "cross-site"), ("accept", "text/html"), ("cookie", &*own)];
    let seen = ask(&bed, handed(), (Method::GET, &callback), &fields).await;
    assert_eq!(
        (seen.status, bed.provider.redemptions()),
        (StatusCode::OK, 1),
        "without the comma it is the browser's own"
    );
}

#[tokio::test]
async fn a_body_that_envoy_cut_is_too_large() {
    let bed = Bed::new();
    let cut = || HandedOver { body: Extent::Cut, ..handed() };
    let seen = ask(&bed, cut(), (Method::POST, "/auth/logout"), &[SHOP, BROWSER]).await;
    assert_eq!(seen.status, StatusCode::PAYLOAD_TOO_LARGE, "{seen:?}");
    let whole = ask(&bed, handed(), (Method::POST, "/auth/logout"), &[SHOP, BROWSER]).await;
    assert_eq!(whole.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_host_must_be_that_of_the_app_that_check_found() {
    let bed = Bed::new();
    let seen = ask(&bed, handed(), (Method::GET, "/sso/login"), &[("host", "other.example.com")]).await;
    assert_eq!(seen.status, StatusCode::MISDIRECTED_REQUEST, "its own host, but Envoy named another app");
    let nobody = ask(&bed, handed(), (Method::GET, "/auth/login"), &[("host", "nobody.example.com")]).await;
    assert_eq!(nobody.status, StatusCode::MISDIRECTED_REQUEST);
}
