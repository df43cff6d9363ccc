//! Header mutations: each managed header is set or removed, never both, never left to the client.

use proptest::prelude::*;

use super::*;
use crate::core::claims::Claims;
use crate::core::fixtures::{app, request, session};

fn with_groups(json: &str) -> Grant {
    let mut session = session();
    session.claims = Claims::from_pairs(vec![("sub".into(), "\"alice\"".into()), ("groups".into(), json.into())]);
    Grant::of_session(&request("GET /x", &[]), &app(), &session)
}

#[test]
fn claims_become_header_values() {
    for (json, expected) in [
        (r#"["a","b"]"#, Some("a,b")),
        (r#"["a,admin"]"#, Some("a%2Cadmin")),
        (r#"["50%"]"#, Some("50%25")),
        (r#""one""#, Some("one")),
        (r#"" padded ""#, Some("padded")),
        ("7", Some("7")),
        ("true", Some("true")),
        (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
        ("[]", None),
        (r#""""#, None),
        ("null", None),
        (r#""a\r\nx-evil: 1""#, None),
        (r#"["a\u0000"]"#, None),
        ("not json", None),
    ] {
        let grant = with_groups(json);
        let set = grant.set.iter().find(|(name, _)| name == "x-user-groups").map(|(_, value)| value.as_str());
        assert_eq!(set, expected, "{json}");
        assert_eq!(grant.remove.contains(&"x-user-groups".to_owned()), expected.is_none(), "{json}");
    }
}

#[test]
fn a_list_with_a_control_character_is_dropped_whole() {
    assert!(with_groups(r#"["ok","a\nb"]"#).remove.contains(&"x-user-groups".to_owned()));
}

#[test]
fn which_token_goes_upstream_is_configured() {
    for (authorization, expected) in [
        (Authorization::AccessToken, Some("Bearer access-1")),
        (Authorization::IdToken, Some("Bearer id-1")),
        (Authorization::Nothing, None),
    ] {
        let mut app = app();
        app.upstream.authorization = authorization;
        let grant = Grant::of_session(&request("GET /x", &[]), &app, &session());
        let set = grant.set.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
        assert_eq!(set, expected);
        assert_eq!(grant.remove.contains(&"authorization".to_owned()), expected.is_none());
    }
}

#[test]
fn nothing_printed_holds_a_token() {
    let grant = Grant::of_session(&request("GET /x", &[]), &app(), &session());
    let printed = format!("{grant:?}");
    assert!(!printed.contains("access-1") && printed.contains("authorization"));
}

proptest! {
    #[test]
    fn no_name_is_set_and_removed_and_every_managed_one_is_either(
        json in "\\PC{0,20}",
        cookie in "[ -~]{0,60}",
        sent in "[xX][-_]user[-_](id|groups)",
        signed_in: bool,
    ) {
        let mut session = session();
        session.claims = Claims::from_pairs(vec![("groups".into(), json)]);
        let headers = [("cookie", cookie.as_str()), (sent.as_str(), "spoofed")];
        let request = request("GET /x", &headers);
        let grant = if signed_in {
            Grant::of_session(&request, &app(), &session)
        } else {
            Grant::anonymous(&request, &app(), Reason::Public)
        };
        for (name, value) in &grant.set {
            prop_assert!(!grant.remove.contains(name));
            prop_assert!(!value.is_empty() && !value.chars().any(char::is_control));
        }
        for name in ["authorization", "x-user-id", "x-user-groups"] {
            let times = grant.set.iter().filter(|(known, _)| known == name).count()
                + grant.remove.iter().filter(|known| *known == name).count();
            prop_assert_eq!(times, 1, "{}", name);
        }
        if sent.contains('_') {
            prop_assert!(grant.remove.contains(&sent));
        }
    }
}
