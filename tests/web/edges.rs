//! The edge itself: hosts, routes, methods, forms of answers, and what is logged.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, Version};

use crate::bed::Bed;
use crate::browser::{Seen, send};
use crate::log;

async fn ask(bed: &Bed, target: &str, fields: &[(&str, &str)], version: Version) -> Seen {
    let mut request = Request::builder().uri(target).version(version);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    send(bed, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_host_chooses_the_app_and_no_host_of_ours_is_misdirected() {
    let bed = Bed::new();
    for host in ["shop.example.com", "SHOP.example.com", "shop.example.com:443"] {
        assert_eq!(
            ask(&bed, "/auth/session", &[("host", host)], Version::HTTP_11).await.status,
            StatusCode::OK,
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "shop.example.com.evil.example",
        "shop.example.com:8443",
        "shop.example.com.",
        "a@shop.example.com",
        "",
    ] {
        let fields = [("host", host), ("x-forwarded-host", "shop.example.com")];
        let seen = ask(&bed, "/auth/login", &fields, Version::HTTP_11).await;
        assert_eq!(seen.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    let two = [("host", "shop.example.com"), ("host", "other.example.com")];
    assert_eq!(ask(&bed, "/auth/session", &two, Version::HTTP_11).await.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(ask(&bed, "/auth/session", &[], Version::HTTP_11).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn the_authority_of_http_2_counts_and_a_host_that_differs_does_not() {
    let bed = Bed::new();
    let target = "https://shop.example.com/auth/session";
    assert_eq!(ask(&bed, target, &[], Version::HTTP_2).await.status, StatusCode::OK);
    let same = [("host", "shop.example.com")];
    assert_eq!(ask(&bed, target, &same, Version::HTTP_2).await.status, StatusCode::OK);
    let other = [("host", "other.example.com")];
    assert_eq!(ask(&bed, target, &other, Version::HTTP_2).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn an_app_has_its_own_prefix_only() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    for target in ["/", "/auth", "/auth/", "/auth/login/", "/auth/LOGIN", "/sso/session", "/authlogin", "/auth/%6cogin"]
    {
        assert_eq!(browser.get(target).await.status, StatusCode::NOT_FOUND, "{target}");
    }
    browser.origin = "https://other.example.com";
    assert_eq!(browser.get("/sso/session").await.status, StatusCode::OK);
    assert_eq!(browser.get("/auth/session").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_refused_with_those_that_are() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    for (target, method, allow) in [
        ("/auth/login", Method::POST, "GET"),
        ("/auth/login", Method::HEAD, "GET"),
        ("/auth/callback", Method::POST, "GET"),
        ("/auth/logout", Method::DELETE, "GET, HEAD, POST"),
        ("/auth/logout/done", Method::POST, "GET, HEAD"),
        ("/auth/session", Method::OPTIONS, "GET, HEAD"),
    ] {
        let seen = browser.send(method.clone(), target, &[]).await;
        assert_eq!((seen.status, seen.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, allow), "{method} {target}");
    }
    let seen = browser.send(Method::HEAD, "/auth/session", &[]).await;
    assert_eq!((seen.status, seen.body.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn people_get_pages_and_programs_get_problems() {
    let bed = Bed::new();
    let host = ("host", "shop.example.com");
    for page in [&[host, ("accept", "text/html,*/*")][..], &[host, ("sec-fetch-mode", "navigate")]] {
        let seen = ask(&bed, "/auth/nothing", page, Version::HTTP_11).await;
        assert_eq!(seen.header("content-type"), "text/html; charset=utf-8");
        for part in
            ["<html lang=\"en\">", "<title>There is nothing here</title>", "<h1>", "viewport", "Reference: <code>"]
        {
            assert!(seen.body.contains(part), "{part}: {}", seen.body);
        }
    }
    for program in [
        &[host][..],
        &[host, ("accept", "application/json")],
        &[host, ("sec-fetch-mode", "cors"), ("accept", "text/html")],
    ] {
        let seen = ask(&bed, "/auth/nothing", program, Version::HTTP_11).await;
        assert_eq!(seen.header("content-type"), "application/problem+json");
        assert_eq!(seen.json()["status"], 404);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let bed = Bed::new();
    let post = |size: usize| {
        let request = Request::builder().method(Method::POST).uri("/auth/logout");
        let request = request.header("host", "shop.example.com").header("sec-fetch-site", "same-origin");
        request.body(Body::from(vec![b'x'; size])).unwrap()
    };
    assert_eq!(send(&bed, post(64 * 1024)).await.status, StatusCode::SEE_OTHER);
    assert_eq!(send(&bed, post(64 * 1024 + 1)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let bed = Bed::new();
    let silent = futures_util::stream::pending::<Result<Vec<u8>, Infallible>>();
    // Always something new, never the end: what an idle timeout would let through.
    let trickle = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, Infallible>(vec![b'x']), ()))
    });
    for body in [Body::from_stream(silent), Body::from_stream(trickle)] {
        let began = tokio::time::Instant::now();
        let request = Request::builder().method(Method::POST).uri("/auth/logout").header("host", "shop.example.com");
        let seen = send(&bed, request.body(body).unwrap()).await;
        assert_eq!(seen.status, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(seen.header("content-type"), "application/problem+json");
        assert_eq!(began.elapsed().as_secs(), 5);
    }
}

#[tokio::test]
async fn what_is_shown_can_be_found_in_the_log_and_no_secret_can() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login").await;
    let attempt = browser.jar.values().next().unwrap().clone();
    browser.get(&callback).await;
    let session = browser.session().unwrap();
    let refused = browser.get(&callback).await;
    let (_, reference) = refused.body.split_once("Reference: <code>").unwrap();
    browser.get("/auth/session").await;
    bed.store.fail(true);
    browser.post("/auth/logout").await;
    bed.store.fail(false);
    browser.post("/auth/logout").await;

    let log = log::text();
    assert!(log.contains(&reference[..8]), "{log}");
    for (outcome, count) in [("signed_in", 1), ("signed_out", 1), ("sign-in-unknown", 1), ("sign-out-failed", 1)] {
        assert_eq!(log.matches(&format!("outcome=\"{outcome}\"")).count(), count, "{outcome}: {log}");
    }
    for secret in [attempt, session] {
        assert!(!log.contains(&secret), "a cookie is in the log");
    }
    // What else must not be there is looked for after every test: see `Bed`.
}
