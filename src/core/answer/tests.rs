//! Which answer each kind of request gets.

use super::*;
use crate::core::fixtures::{app, request};

#[test]
fn kinds_are_told_apart() {
    let navigate = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    for (line, headers, kind) in [
        ("GET /", navigate.to_vec(), Kind::Navigation),
        ("HEAD /", navigate.to_vec(), Kind::Navigation),
        ("POST /", navigate.to_vec(), Kind::Form),
        ("GET /", vec![("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], Kind::Script),
        ("GET /", vec![("sec-fetch-mode", "cors"), ("accept", "text/html")], Kind::Script),
        ("GET /", vec![("sec-fetch-mode", "no-cors")], Kind::Script),
        ("GET /", vec![("accept", "text/html,*/*;q=0.8")], Kind::Navigation),
        ("POST /", vec![("accept", "text/html")], Kind::Form),
        ("GET /", vec![("accept", "*/*")], Kind::Script),
        ("GET /", vec![("accept", "application/json")], Kind::Script),
        ("GET /", vec![], Kind::Script),
        ("GET /", vec![("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], Kind::Script),
        ("GET /", vec![("accept", "text/event-stream")], Kind::Script),
        ("GET /", vec![("upgrade", "websocket"), ("accept", "text/html")], Kind::Script),
        ("POST /s/M", vec![("content-type", "application/grpc+proto")], Kind::Grpc),
        ("POST /s/M", vec![("content-type", "application/grpc-web")], Kind::Grpc),
    ] {
        assert_eq!(Kind::of(&request(line, &headers)), kind, "{line} {headers:?}");
    }
    let prefetch = [navigate[0], navigate[1], ("sec-purpose", "prefetch;prerender")];
    assert_eq!(Kind::of(&request("GET /", &prefetch)), Kind::Script);
}

#[test]
fn every_answer_is_uncacheable_and_unsniffable() {
    let kinds: [&[(&str, &str)]; 3] =
        [&[("accept", "text/html")], &[("content-type", "application/grpc")], &[("sec-fetch-mode", "cors")]];
    for headers in kinds {
        for line in ["GET /x", "POST /x"] {
            let request = request(line, headers);
            for verdict in [
                unauthenticated(&request, &app(), Reason::NoSession),
                forbidden(&request, Reason::Csrf),
                refused(&request, 400, Reason::Malformed),
                retry_later(&request, Reason::Store),
                bounce(&request, &app()),
                busy(),
            ] {
                let Verdict::Deny(denial) = verdict else { panic!("allowed") };
                for wanted in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
                    assert!(denial.headers.iter().any(|(name, value)| (&**name, value.as_str()) == wanted));
                }
                assert_eq!(denial.headers.iter().any(|(name, _)| *name == "retry-after"), denial.status == 503);
            }
        }
    }
}

#[test]
fn scripts_are_told_where_to_sign_in() {
    let headers = [("sec-fetch-mode", "cors")];
    let Verdict::Deny(denial) = unauthenticated(&request("GET /x", &headers), &app(), Reason::NoSession) else {
        panic!("allowed");
    };
    let body: serde_json::Value = serde_json::from_str(&denial.body).unwrap();
    assert_eq!((denial.status, &body["status"], &body["login_url"]), (401, &401.into(), &"/auth/login".into()));
}

#[test]
fn a_posted_form_is_never_redirected() {
    let headers = [("accept", "text/html")];
    let Verdict::Deny(denial) = unauthenticated(&request("POST /x", &headers), &app(), Reason::NoSession) else {
        panic!("allowed");
    };
    assert_eq!(denial.status, 401);
    assert!(!denial.headers.iter().any(|(name, _)| *name == "location"));
}
