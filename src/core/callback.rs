//! The provider's answer as it stands in the query of our callback (RFC 6749 §4.1.2, RFC 9207 §2).
//!
//! Everything in it may be made up by anybody. Error texts are not even kept: nothing of them is shown or logged.

use secrecy::SecretString;
use url::form_urlencoded;

/// A well-formed answer.
#[derive(Debug)]
pub struct Callback {
    /// `state`, not compared yet.
    pub state: String,
    /// `iss`, not compared yet.
    pub issuer: Option<String>,
    /// What the provider says.
    pub answer: Answer,
}

/// What the provider says.
#[derive(Debug)]
pub enum Answer {
    /// A code to redeem.
    Code(SecretString),
    /// The user is not signed in, and why.
    Error(AuthorizeError),
}

/// Why the provider did not sign the user in: the codes that call for different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizeError {
    /// `access_denied`: the user, or a rule there, said no.
    Denied,
    /// `login_required`, `interaction_required`, …: it cannot be done silently (`prompt=none`).
    Interaction,
    /// `server_error`, `temporarily_unavailable`.
    Unavailable,
    /// `invalid_request`, `unauthorized_client`, `invalid_scope`, …: our registration there is wrong.
    Misconfigured,
    /// A code we do not know.
    Other,
}

impl Callback {
    /// Reads a query. `None` when `state` is missing, when there is not exactly one of `code` and `error`, or when
    /// one of them stands twice (RFC 6749 §3.1 forbids it).
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        let mut fields = [const { None }; 4];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(field) = ["state", "iss", "code", "error"].iter().position(|known| *known == name) else {
                continue;
            };
            if fields.get_mut(field)?.replace(value.into_owned()).is_some() {
                return None;
            }
        }
        let [state, issuer, code, error] = fields;
        let answer = match (code, error) {
            (Some(code), None) if !code.is_empty() => Answer::Code(code.into()),
            (None, Some(error)) => Answer::Error(AuthorizeError::of(&error)),
            (Some(_) | None, Some(_) | None) => return None,
        };
        let state = state.filter(|state| !state.is_empty())?;
        Some(Self { state, issuer, answer })
    }
}

impl AuthorizeError {
    fn of(code: &str) -> Self {
        match code {
            "access_denied" => Self::Denied,
            "login_required"
            | "interaction_required"
            | "consent_required"
            | "account_selection_required"
            | "unmet_authentication_requirements" => Self::Interaction,
            "server_error" | "temporarily_unavailable" => Self::Unavailable,
            "invalid_request"
            | "unauthorized_client"
            | "unsupported_response_type"
            | "invalid_scope"
            | "invalid_request_uri"
            | "invalid_request_object"
            | "request_not_supported"
            | "request_uri_not_supported"
            | "registration_not_supported" => Self::Misconfigured,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_code_comes_with_state_and_perhaps_issuer() {
        let read = Callback::parse("code=a%2Bb&state=s&iss=https%3A%2F%2Fid.example.com&session_state=x").unwrap();
        assert_eq!(read.state, "s");
        assert_eq!(read.issuer.as_deref(), Some("https://id.example.com"));
        assert!(matches!(read.answer, Answer::Code(code) if code.expose_secret() == "a+b"));
    }

    #[test]
    fn an_error_is_known_by_its_code_only() {
        for (code, error) in [
            ("access_denied", AuthorizeError::Denied),
            ("login_required", AuthorizeError::Interaction),
            ("temporarily_unavailable", AuthorizeError::Unavailable),
            ("invalid_scope", AuthorizeError::Misconfigured),
            ("%3Cscript%3E", AuthorizeError::Other),
        ] {
            let read = Callback::parse(&format!("error={code}&error_description=x&state=s")).unwrap();
            assert!(matches!(read.answer, Answer::Error(known) if known == error), "{code}");
        }
    }

    #[test]
    fn what_is_missing_doubled_or_both_is_malformed() {
        for query in [
            "",
            "code=c",
            "state=s",
            "code=&state=s",
            "code=c&state=",
            "code=c&code=d&state=s",
            "code=c&state=s&state=s",
            "code=c&error=x&state=s",
            "code=c&state=s&iss=a&iss=b",
        ] {
            assert!(Callback::parse(query).is_none(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_panic(query in any::<String>()) {
            let _ = Callback::parse(&query);
        }
    }
}
