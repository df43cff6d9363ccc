//! What the router gets and what Envoy is given, with a router that shows both.

use std::time::Duration;

use axum::extract::Request as Handed;
use axum::response::IntoResponse;
use http::StatusCode;

use super::*;
use crate::core::cookie::CookieText;
use crate::core::fixtures::app;
use crate::core::request::Headers;

fn request<'a>(target: &'a str, fields: &[(&'a str, &'a [u8])], body: &'a [u8]) -> Request<'a> {
    let pseudo: [(&str, &[u8]); 4] =
        [(":method", b"POST"), (":path", b"/x"), (":authority", b"x.example"), (":scheme", b"https")];
    Request {
        method: "POST",
        target,
        host: "shop.example.com",
        headers: Headers::new(pseudo.iter().chain(fields).copied().collect()),
        cookies: CookieText::default(),
        body,
        ..Request::default()
    }
}

async fn ask(router: Router, request: &Request<'_>, metadata: &MetadataMap, budget: Duration) -> Denial {
    let login = LoginRoutes::new(router, Handle::current(), TaskTracker::new(), 2);
    match login.answer(request, &app(), metadata, Instant::now() + budget).await {
        Verdict::Deny(denial) => denial,
        Verdict::Forward(_) => panic!("forwarded"),
    }
}

const LONG: Duration = Duration::from_secs(60);

/// Method, target, sorted fields and body, line by line.
async fn mirror(handed: Handed) -> String {
    let (parts, body) = handed.into_parts();
    let mut lines: Vec<String> =
        parts.headers.iter().map(|(name, value)| format!("{name}: {}", value.as_bytes().escape_ascii())).collect();
    lines.sort();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    format!("{} {}\n{}\n{}", parts.method, parts.uri, lines.join("\n"), body.escape_ascii())
}

#[tokio::test]
async fn the_routes_get_what_came_byte_for_byte_and_nothing_of_the_connection() {
    let fields: [(&str, &[u8]); 8] = [
        ("host", b"evil.example"),
        ("cookie", b"a=\xff"),
        ("cookie", b"b=2"),
        ("content-length", b"7"),
        ("transfer-encoding", b"chunked"),
        ("te", b"trailers"),
        ("traceparent", b"00-aa-bb-01"),
        ("x-forwarded-for", b"192.0.2.7"),
    ];
    let target = "/auth/callback?code=a%2Fb&state=%7E+&&x";
    let router = Router::new().fallback(mirror);
    let answer = ask(router, &request(target, &fields, b"k=\xfe"), &MetadataMap::new(), LONG).await;
    let expected =
        "cookie: a=\\xff\ncookie: b=2\nhost: shop.example.com\ntraceparent: 00-aa-bb-01\nx-forwarded-for: 192.0.2.7";
    assert_eq!(answer.body, format!("POST {target}\n{expected}\nk=\\xfe"));
}

#[tokio::test]
async fn the_nearer_trace_context_counts() {
    let fields: [(&str, &[u8]); 2] = [("traceparent", b"the-clients"), ("tracestate", b"the-clients")];
    let mut metadata = MetadataMap::new();
    metadata.insert("traceparent", "envoys".parse().unwrap());
    let answer = ask(Router::new().fallback(mirror), &request("/auth", &fields, b""), &metadata, LONG).await;
    assert!(answer.body.contains("traceparent: envoys") && !answer.body.contains("clients"), "{}", answer.body);
}

#[tokio::test]
async fn status_fields_and_body_come_back_as_they_are() {
    let page = || async {
        let mut response = (StatusCode::OK, [("connection", "close"), ("date", "now")], "caf\u{e9}").into_response();
        for (name, value) in [("set-cookie", "c=3"), ("set-cookie", "d=4")] {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response
    };
    let answer = ask(Router::new().fallback(page), &request("/auth", &[], b""), &MetadataMap::new(), LONG).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.reason), (200, "caf\u{e9}", Reason::LoginRoute));
    let cookies: Vec<&str> =
        answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["c=3", "d=4"]);
    for gone in ["connection", "date", "content-length"] {
        assert!(answer.headers.iter().all(|(name, _)| name != gone), "{gone}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_without_asking_the_routes() {
    for field in [("x y", b"1".as_slice()), ("x", b"a\nb"), ("x", b"\0"), ("", b"")] {
        let answer = ask(Router::new(), &request("/auth/login", &[field], b""), &MetadataMap::new(), LONG).await;
        assert_eq!((answer.status, answer.reason), (400, Reason::Malformed), "{field:?}");
    }
    for target in ["/auth/login?\u{7f}", "/auth/login?a b"] {
        let answer = ask(Router::new(), &request(target, &[], b""), &MetadataMap::new(), LONG).await;
        assert_eq!(answer.status, 400, "{target:?}");
    }
}

#[tokio::test]
async fn more_fields_than_a_request_can_hold_are_refused() {
    let names: Vec<String> = (0..40_000).map(|number| format!("x{number}")).collect();
    // The map is full with 24 576 names: one more is too many, and so is our own `host`.
    for count in [24_576, 24_577, names.len()] {
        let fields: Vec<(&str, &[u8])> = names.iter().take(count).map(|name| (name.as_str(), b"".as_slice())).collect();
        let answer = ask(Router::new(), &request("/auth/login", &fields, b""), &MetadataMap::new(), LONG).await;
        assert_eq!((answer.status, answer.reason), (400, Reason::Malformed), "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn routes_that_do_not_answer_in_time_are_ended_and_put_off() {
    let (held, mut ended) = tokio::sync::mpsc::channel::<()>(1);
    let hang = move || {
        let held = held.clone();
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    };
    let router = Router::new().fallback(hang);
    let answer = ask(router, &request("/auth", &[], b""), &MetadataMap::new(), Duration::from_secs(4)).await;
    assert_eq!((answer.status, answer.reason), (503, Reason::Provider));
    assert!(answer.headers.iter().any(|(name, _)| name == "retry-after"));
    assert_eq!(ended.recv().await, None, "nothing of it is left");
}

#[tokio::test]
async fn a_slow_provider_takes_no_more_than_its_places() {
    let cases = [(1, 1), (2, 1), (3, 1), (500, 250), (2_000, 1_000), (1_000_000, 1_000)];
    for (checks, logins) in cases {
        assert_eq!(slots(checks), logins, "of {checks}");
    }
    let routes = LoginRoutes::new(Router::new(), Handle::current(), TaskTracker::new(), 2);
    let _taken = routes.slots.try_acquire().unwrap();
    let deadline = Instant::now() + LONG;
    let verdict = routes.answer(&request("/auth", &[], b""), &app(), &MetadataMap::new(), deadline).await;
    assert_eq!(verdict.reason(), Reason::Overload);
}
