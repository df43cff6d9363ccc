//! Token answers as tables, and anything at all as a property.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::json;
use zeroize::Zeroizing;

use super::*;

fn answer(status: u16, body: &[u8]) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, content_type: None, body: Zeroizing::new(body.to_vec()) }
}

#[test]
fn lifetimes_are_read_as_providers_write_them() {
    let year = Some(365 * 24 * 3600);
    for (value, seconds) in [
        (json!(3600), Some(3600)),
        (json!(3600.9), Some(3600)),
        (json!("3600"), Some(3600)),
        (json!(" 3600 "), Some(3600)),
        (json!("3600.0"), Some(3600)),
        (json!(1), Some(1)),
        (json!(0), None),
        (json!(0.5), None),
        (json!(-1), None),
        (json!("-3600"), None),
        (json!(null), None),
        (json!(true), None),
        (json!([3600]), None),
        (json!(""), None),
        (json!("soon"), None),
        (json!("NaN"), None),
        (json!("inf"), None),
        (json!(4_000_000_000_u64), year),
        (json!(u64::MAX), year),
        (json!(1e300), year),
    ] {
        assert_eq!(lifetime(&value).map(|span| span.as_secs()), seconds, "{value}");
    }
}

#[test]
fn scopes_are_text_or_lists() {
    for (value, expected) in [
        (json!("openid email"), Some("openid email")),
        (json!(["openid", "email", 7]), Some("openid email")),
        (json!([]), None),
        (json!(""), None),
        (json!(null), None),
        (json!(7), None),
    ] {
        assert_eq!(scope(&value).as_deref(), expected, "{value}");
    }
}

#[test]
fn a_secret_is_cut_out_wherever_it_stands() {
    let body =
        json!({ "error": "rt-secret", "error_description": "token rt-secret, again rt-secret: AADSTS70000 \u{7}" });
    let refusal = TokenAnswer::read(&answer(400, body.to_string().as_bytes()), &["rt-secret", ""]).unwrap_err();
    let text = refusal.error.to_string();
    assert!(!text.contains("rt-secret") && text.contains("AADSTS70000"), "{text}");
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = TokenAnswer::read(&answer(status, &body), &["rt"]);
    }

    #[test]
    fn what_the_provider_says_is_printable_and_bounded(text in ".{0,600}", limit in 0_usize..300) {
        let shown = printable(&text, limit, &["secret"]);
        prop_assert!(shown.chars().count() <= limit);
        prop_assert!(!shown.contains("secret"));
        prop_assert!(!shown.chars().any(|c| c.is_control() || "<>\"'`\\".contains(c)));
        prop_assert!(shown.split(' ').all(|word| word.chars().count() <= 40));
    }

    #[test]
    fn an_access_token_that_is_given_out_fits_a_header(token in ".{0,40}") {
        let body = json!({ "access_token": token, "token_type": "bearer" }).to_string();
        let given = TokenAnswer::read(&answer(200, body.as_bytes()), &[]).ok();
        let legal = !token.is_empty() && token.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        prop_assert_eq!(given.is_some(), legal);
        let header = given.map(|tokens| http::HeaderValue::from_str(tokens.access.expose_secret()).is_ok());
        prop_assert_ne!(header, Some(false));
    }
}
