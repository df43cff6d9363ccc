//! The one property that everything hangs on, and the response shapes of ENVOY.md §1.3.

use proptest::prelude::*;

use super::*;
use crate::core::verdict::Reason;

fn code(response: &CheckResponse) -> Option<i32> {
    response.status.as_ref().map(|status| status.code)
}

fn denial(status: u16) -> Verdict {
    let headers = vec![("set-cookie".into(), "a=1".to_owned()), ("set-cookie".into(), "b=2".to_owned())];
    Verdict::Deny(Denial { status, headers, body: "text".into(), reason: Reason::NoSession })
}

proptest! {
    /// Envoy allows on code 0 and on an absent status.
    #[test]
    fn no_verdict_but_forward_encodes_as_code_0(status: u16, reason in 0..Reason::ALL.len()) {
        let mut verdict = denial(status);
        if let Verdict::Deny(denial) = &mut verdict {
            denial.reason = Reason::ALL[reason];
        }
        let response = response(verdict);
        prop_assert!(code(&response).is_some_and(|code| code != 0));
        prop_assert!(matches!(response.http_response, Some(HttpResponse::DeniedResponse(_))));
    }
}

#[test]
fn a_forward_is_code_0_with_explicit_overwrites() {
    let grant = Grant {
        set: vec![("authorization".into(), "Bearer t".into())],
        remove: vec!["x-user-id".into()],
        reason: Reason::Session,
    };
    let response = response(Verdict::Forward(grant));
    assert_eq!(code(&response), Some(0));
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("not ok") };
    let option = &ok.headers[0];
    assert_eq!(option.append_action(), HeaderAppendAction::OverwriteIfExistsOrAdd);
    let header = option.header.as_ref().unwrap();
    assert_eq!((header.value.as_str(), header.raw_value.len()), ("Bearer t", 0));
    assert_eq!(ok.headers_to_remove, ["x-user-id"]);
}

#[test]
fn a_denial_keeps_its_status_body_and_repeated_headers() {
    let response = response(denial(302));
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("not denied") };
    assert_eq!((denied.status.unwrap().code, denied.body.as_str(), denied.headers.len()), (302, "text", 2));
}

#[test]
fn what_is_not_taken_on_is_denied_with_503_and_told_when_to_come_back() {
    let response = response(crate::core::answer::busy());
    assert_eq!(code(&response), Some(UNAVAILABLE));
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("not denied") };
    assert_eq!(denied.status.unwrap().code, 503);
    let header = |option: &HeaderValueOption| option.header.as_ref().unwrap().key.clone();
    assert!(denied.headers.iter().any(|option| header(option) == "retry-after"));
}
