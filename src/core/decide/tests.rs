//! The decision, as tables: what is settled without a store, what a session changes, what a refresh changes.

use super::*;
use crate::core::fixtures::{COOKIE, NOW, app, apps, held, keyring, request, session, ticket_line};
use crate::core::verdict::Denial;

const NAVIGATION: [(&str, &str); 3] =
    [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

fn settled(request: &Request<'_>) -> Verdict {
    match classify(request, &apps(), &keyring()) {
        Class::Settled { verdict, .. } => verdict,
        Class::Guarded(_) => panic!("needs a session"),
    }
}

fn guarded(request: &Request<'_>) -> Guarded {
    match classify(request, &apps(), &keyring()) {
        Class::Guarded(guarded) => guarded,
        Class::Settled { verdict, .. } => panic!("settled: {verdict:?}"),
    }
}

fn denial(verdict: Verdict) -> Denial {
    match verdict {
        Verdict::Deny(denial) => denial,
        Verdict::Forward(grant) => panic!("forwarded: {grant:?}"),
    }
}

fn header<'a>(denial: &'a Denial, name: &str) -> Option<&'a str> {
    denial.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

fn signed_in<'a>(line: &'a str, cookie: &'a str) -> Request<'a> {
    let headers: Vec<(&str, &str)> = vec![("cookie", cookie), ("sec-fetch-site", "same-origin")];
    request(line, Box::leak(headers.into_boxed_slice()))
}

#[test]
fn public_and_optional_routes_forward_without_identity() {
    for (line, reason) in
        [("GET /public/x", Reason::Public), ("GET /", Reason::Anonymous), ("GET /?x=1", Reason::Anonymous)]
    {
        let verdict = settled(&request(line, &[("authorization", "Bearer stolen"), ("x_user_id", "root")]));
        assert_eq!(verdict.reason(), reason, "{line}");
        let Verdict::Forward(grant) = verdict else { panic!("{line}") };
        assert!(grant.set.is_empty());
        assert_eq!(grant.remove, ["authorization", "x-user-id", "x-user-groups", "x_user_id"]);
    }
}

#[test]
fn a_navigation_without_session_goes_to_the_login_and_back() {
    let denial = denial(settled(&request("GET /a?b=c&d=%2F", &NAVIGATION)));
    assert_eq!(denial.status, 302);
    let location = "https://shop.example.com/auth/login?return_to=/a%3Fb%3Dc%26d%3D%252F";
    assert_eq!(header(&denial, "location"), Some(location));
    assert_eq!(header(&denial, "cache-control"), Some("no-store"));
}

#[test]
fn a_forged_host_changes_no_url_and_an_unknown_one_is_misdirected() {
    let mut forged = request("GET /a", &NAVIGATION);
    forged.host = "evil.example";
    assert_eq!(denial(settled(&forged)).status, 421);
    forged.app = Some("shop");
    let denial = denial(settled(&forged));
    assert!(header(&denial, "location").unwrap().starts_with("https://shop.example.com/auth/login"));
}

#[test]
fn unknown_apps_and_policies_and_odd_targets_are_refused() {
    let mut odd = request("GET /public/x", &[]);
    odd.app = Some("nobody");
    assert_eq!(settled(&odd).reason(), Reason::UnknownApp);
    odd.app = Some("shop");
    odd.policy = Some("nothing");
    assert_eq!(settled(&odd).reason(), Reason::UnknownPolicy);
    odd.policy = Some("open");
    assert_eq!(settled(&odd).reason(), Reason::Public);
    for target in ["http://shop.example.com/public/x", "*", "", "/public/%00"] {
        odd.target = target;
        assert_eq!(settled(&odd).reason(), Reason::Malformed, "{target}");
    }
}

#[test]
fn a_path_with_two_readings_is_never_public_and_asks_for_every_claim() {
    let cookie = ticket_line();
    for target in ["/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public//x", "/public;/x"] {
        let line = format!("GET {target}");
        assert_eq!(denial(settled(&request(&line, &[("sec-fetch-mode", "cors")]))).status, 401, "{target}");
        let request = signed_in(&line, &cookie);
        let decision = decide(&request, &guarded(&request), Some(&held()), NOW, 0.0);
        let Decision::Settled(verdict) = decision else { panic!("{target}") };
        let expected = if target.contains("admin") { Reason::Claims } else { Reason::Session };
        assert_eq!(verdict.reason(), expected, "{target}");
    }
}

#[test]
fn forged_and_doubled_cookies_are_settled_without_the_store() {
    let ticket = ticket_line();
    let doubled = format!("{ticket}; {ticket}");
    for (cookie, expected) in [
        (format!("{COOKIE}=*"), TicketRefusal::Malformed),
        (format!("{COOKIE}={}", "A".repeat(70)), TicketRefusal::Malformed),
        (format!("{COOKIE}={}", "A".repeat(10_000)), TicketRefusal::Malformed),
        (format!("{COOKIE}=coatcheck:s:abc"), TicketRefusal::Malformed),
        (doubled, TicketRefusal::Ambiguous),
    ] {
        let headers = [("cookie", cookie.as_str()), ("sec-fetch-mode", "cors")];
        let Class::Settled { verdict, refused, .. } = classify(&request("GET /x", &headers), &apps(), &keyring())
        else {
            panic!("{cookie} reached the store");
        };
        assert_eq!((verdict.reason(), refused), (Reason::NoSession, Some(expected)));
    }
}

#[test]
fn a_strict_cookie_that_was_withheld_gets_one_more_chance() {
    let cross = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    for line in ["GET /x?y=\"><b>", "GET /"] {
        let denial = denial(settled(&request(line, &cross)));
        assert_eq!((denial.status, denial.reason), (200, Reason::Bounce), "{line}");
        assert!(denial.body.contains("http-equiv=\"refresh\"") && !denial.body.contains("\"><b>"));
    }
    assert_eq!(settled(&request("GET /public/x", &cross)).reason(), Reason::Public);
    assert_eq!(settled(&request("POST /x", &cross)).reason(), Reason::NoSession);
    let second = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(denial(settled(&request("GET /x", &second))).status, 302);
}

#[test]
fn a_session_is_forwarded_with_its_token_and_claims() {
    let cookie = format!("a=1; {}; b=2", ticket_line());
    let request = signed_in("GET /x", &cookie);
    let Decision::Settled(Verdict::Forward(grant)) = decide(&request, &guarded(&request), Some(&held()), NOW, 0.0)
    else {
        panic!("not forwarded");
    };
    let expected = [
        ("authorization", "Bearer access-1"),
        ("x-user-id", "alice"),
        ("x-user-groups", "dev,a%2Cb"),
        ("cookie", "a=1; b=2"),
    ];
    assert_eq!(grant.set, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(grant.remove.is_empty());
}

#[test]
fn a_missing_claim_is_403_and_not_a_login() {
    let cookie = ticket_line();
    let request = signed_in("GET /admin/x", &cookie);
    let mut staff = held();
    let decide_with = |held: &Held| decide(&request, &guarded(&request), Some(held), NOW, 0.0);
    let Decision::Settled(verdict) = decide_with(&staff) else { panic!() };
    assert_eq!(denial(verdict).status, 403);
    for (json, allowed) in
        [(r#"["Staff"]"#, false), (r#""staff""#, true), (r#"["dev","staff"]"#, true), (r#"{"a":1}"#, false)]
    {
        staff.session.claims = crate::core::claims::Claims::from_pairs(vec![("groups".into(), json.into())]);
        let Decision::Settled(verdict) = decide_with(&staff) else { panic!() };
        assert_eq!(matches!(verdict, Verdict::Forward(_)), allowed, "{json}");
    }
}

#[test]
fn tokens_are_refreshed_ahead_of_their_end_and_awaited_after_it() {
    let cookie = ticket_line();
    let request = signed_in("GET /x", &cookie);
    let guarded = guarded(&request);
    let at = |secs: u64| NOW + Duration::from_secs(secs);
    for (secs, expected) in
        [(0, "settled"), (269, "settled"), (270, "beside"), (299, "beside"), (300, "wait"), (900, "wait")]
    {
        let got = match decide(&request, &guarded, Some(&held()), at(secs), 0.0) {
            Decision::Settled(_) => "settled",
            Decision::RefreshBeside(_) => "beside",
            Decision::Refresh => "wait",
        };
        assert_eq!(got, expected, "{secs} s");
    }
    let mut without = held();
    without.session.tokens.refresh = None;
    let Decision::Settled(verdict) = decide(&request, &guarded, Some(&without), at(300), 0.0) else { panic!() };
    assert_eq!(verdict.reason(), Reason::Ended);
}

#[test]
fn an_id_token_that_no_refresh_renews_asks_for_a_login_and_not_for_another_refresh() {
    let mut app = app();
    app.upstream.authorization = Authorization::IdToken;
    let apps = Apps::new(vec![app]);
    let cookie = ticket_line();
    let request = signed_in("GET /x", &cookie);
    let Class::Guarded(guarded) = classify(&request, &apps, &keyring()) else { panic!() };
    let late = NOW + Duration::from_secs(300);
    let mut session = held();
    assert!(matches!(decide(&request, &guarded, Some(&session), late, 0.0), Decision::Refresh));
    session.session.obtained = late;
    let Decision::Settled(verdict) = decide(&request, &guarded, Some(&session), late, 0.0) else { panic!() };
    assert_eq!(verdict.reason(), Reason::Ended);
}

#[test]
fn idle_and_absolute_ends_and_absent_sessions_ask_for_a_login() {
    let cookie = ticket_line();
    let request = signed_in("GET /x", &cookie);
    let guarded = guarded(&request);
    let mut old = held();
    old.session.expires = NOW + Duration::from_secs(10);
    for (held, secs, reason) in
        [(None, 0, Reason::NoSession), (Some(held()), 1_800, Reason::Ended), (Some(old), 10, Reason::Ended)]
    {
        let decision = decide(&request, &guarded, held.as_ref(), NOW + Duration::from_secs(secs), 0.0);
        let Decision::Settled(verdict) = decision else { panic!() };
        assert_eq!(verdict.reason(), reason);
        assert_eq!(denial(verdict).status, 401);
    }
}

#[test]
fn after_a_refresh_an_ended_token_is_never_forwarded() {
    let cookie = ticket_line();
    let request = signed_in("GET /x", &cookie);
    let guarded = guarded(&request);
    let late = NOW + Duration::from_secs(300);
    let mut fresh = held();
    fresh.session.tokens.access_expires = late + Duration::from_secs(300);
    for (outcome, status) in [
        (Outcome::Refreshed(Arc::new(fresh)), None),
        (Outcome::Refreshed(Arc::new(held())), Some(503)),
        (Outcome::Later, Some(503)),
        (Outcome::Ended, Some(401)),
    ] {
        match (conclude(&request, &guarded, &outcome, late), status) {
            (Verdict::Forward(_), None) => {}
            (Verdict::Deny(denial), Some(status)) => assert_eq!(denial.status, status, "{outcome:?}"),
            (verdict, _) => panic!("{outcome:?}: {verdict:?}"),
        }
    }
}

#[test]
fn a_session_bound_to_another_browser_asks_for_a_login_or_is_only_told() {
    let mut app = app();
    app.session.bind_user_agent = true;
    let mut bound = session();
    bound.binding = Binding::of(&app.session, Some(b"this browser"), None);
    let cookie = ticket_line();
    let headers = [("cookie", cookie.as_str()), ("user-agent", "that browser")];
    let request = request("GET /x", &headers);
    assert!(breaks_binding(&request, &app, &bound));
    assert!(!tells_bind_mismatch(&request, &app, &bound));
    app.session.on_bind_mismatch = BindMismatch::Log;
    assert!(!breaks_binding(&request, &app, &bound));
    assert!(tells_bind_mismatch(&request, &app, &bound));
}

#[test]
fn a_preflight_is_forwarded_without_identity() {
    let cookie = ticket_line();
    let headers = [("cookie", cookie.as_str()), ("origin", "https://x"), ("access-control-request-method", "PUT")];
    let verdict = settled(&request("OPTIONS /admin/x", &headers));
    assert_eq!(verdict.reason(), Reason::Preflight);
    let Verdict::Forward(grant) = verdict else { panic!() };
    assert!(grant.set.is_empty() && grant.remove.contains(&"cookie".to_owned()));
}

#[test]
fn cross_site_requests_with_a_session_get_no_token() {
    let cookie = ticket_line();
    for (line, headers, expected) in [
        ("POST /x", vec![("sec-fetch-site", "cross-site")], Reason::Csrf),
        ("POST /x", vec![("sec-fetch-site", "same-site")], Reason::Csrf),
        ("POST /x", vec![("origin", "null")], Reason::Csrf),
        ("POST /x", vec![], Reason::Csrf),
        ("GET /x", vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], Reason::Csrf),
        ("GET /", vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], Reason::Anonymous),
        ("POST /", vec![("sec-fetch-site", "cross-site")], Reason::Csrf),
        ("GET /x", vec![("upgrade", "websocket"), ("origin", "https://evil.example")], Reason::Csrf),
    ] {
        let mut headers = headers;
        headers.push(("cookie", &cookie));
        assert_eq!(settled(&request(line, &headers)).reason(), expected, "{line} {headers:?}");
    }
}
