//! From a verdict to Envoy's `CheckResponse`. The shapes are those that Envoy 1.40 was observed to honour.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::rpc::Status;

use crate::core::grant::Grant;
use crate::core::verdict::{Denial, Reason, Verdict};

/// gRPC codes. Envoy allows on code 0 and nothing else; an absent `status` counts as 0.
const OK: i32 = 0;
const UNAVAILABLE: i32 = 14;
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

/// The one place where an answer to Envoy is made: only [`Verdict::Forward`] gets code 0.
pub(super) fn response(verdict: Verdict) -> CheckResponse {
    let (code, http) = match verdict {
        Verdict::Forward(grant) => (OK, HttpResponse::OkResponse(ok(grant))),
        Verdict::Deny(denial) => (denied_code(&denial), HttpResponse::DeniedResponse(denied(denial))),
    };
    CheckResponse {
        status: Some(Status { code, ..Status::default() }),
        // Written by `metadata`, without the map of strings that this type would need.
        dynamic_metadata: None,
        http_response: Some(http),
    }
}

/// To Envoy one code that is not 0 is as good as another; this is for people who read traces and captures.
const fn denied_code(denial: &Denial) -> i32 {
    match (denial.status, denial.reason) {
        (503, _) => UNAVAILABLE,
        (401, _) => UNAUTHENTICATED,
        // A page or a redirect of the login routes: nobody is refused, but nothing goes upstream either.
        (_, Reason::LoginRoute) => PERMISSION_DENIED,
        (200 | 302, _) => UNAUTHENTICATED,
        _ => PERMISSION_DENIED,
    }
}

fn ok(grant: Grant) -> OkHttpResponse {
    OkHttpResponse {
        headers: grant.set.into_iter().map(|(name, value)| overwrite(name, value)).collect(),
        // Runs after the sets in Envoy; the grant never has a name in both.
        headers_to_remove: grant.remove,
        ..OkHttpResponse::default()
    }
}

fn denied(denial: Denial) -> DeniedHttpResponse {
    DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(denial.status) }),
        // One entry each with `append` unset: repeats are kept, which several Set-Cookie need.
        headers: denial.headers.into_iter().map(|(name, value)| overwrite(name.into_owned(), value)).collect(),
        body: denial.body,
    }
}

/// Always explicit: Envoy 1.37.0 honoured the default, which appends (envoy#43310).
fn overwrite(key: String, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key, value, raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

#[cfg(test)]
mod tests;
