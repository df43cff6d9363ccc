//! What the provider says went wrong, made fit for our logs and errors: bounded, printable, and without
//! anything that looks like a token or is one of the secrets we sent.

use http::StatusCode;
use serde_json::Value;

use super::ProviderError;

/// Longer runs without a space are taken for tokens. Identifiers that help an operator (a UUID) are shorter.
const LONGEST_WORD: usize = 40;

/// A description is cut after this many characters.
const LONGEST_TEXT: usize = 200;

/// The kind of a revocation that the provider does not offer for this sort of token (RFC 7009 §2.2.1).
pub(super) const UNSUPPORTED_TOKEN_TYPE: &str = "unsupported_token_type";

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    /// `invalid_grant`: the code or refresh token is spent, expired or revoked.
    pub(super) dead: bool,
    /// Label of the error metric.
    pub(super) kind: &'static str,
    /// What it means for the caller.
    pub(super) error: ProviderError,
}

impl Refusal {
    /// An answer that cannot be read. The provider is up but does not make sense: like an outage.
    pub(super) fn unreadable(text: impl Into<String>) -> Self {
        Self { dead: false, kind: "unreadable", error: ProviderError::Unavailable(text.into()) }
    }

    /// Reads an error answer of an OAuth endpoint (RFC 6749 §5.2). `secrets` is what the request carried.
    pub(super) fn read(endpoint: &'static str, status: StatusCode, body: &[u8], secrets: &[&str]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = body.get("error").and_then(Value::as_str).map(|code| printable(code, LONGEST_WORD, secrets));
        let mut text = format!("{endpoint}: status {}", status.as_u16());
        if let Some(code) = &code {
            text = format!("{text}, {code}");
        }
        if let Some(description) = body.get("error_description").and_then(Value::as_str) {
            text = format!("{text} ({})", printable(description, LONGEST_TEXT, secrets));
        }
        Self::classify(status, code.as_deref(), text)
    }

    fn classify(status: StatusCode, code: Option<&str>, text: String) -> Self {
        let try_later = matches!(status.as_u16(), 408 | 429 | 500..);
        if try_later {
            return Self { dead: false, kind: "status", error: ProviderError::Unavailable(text) };
        }
        let (kind, error) = match code {
            Some("invalid_grant") => {
                return Self { dead: true, kind: "invalid_grant", error: ProviderError::Rejected(text) };
            }
            Some("temporarily_unavailable" | "server_error" | "slow_down") => {
                ("unavailable", ProviderError::Unavailable(text))
            }
            Some("unsupported_token_type") => (UNSUPPORTED_TOKEN_TYPE, ProviderError::Rejected(text)),
            Some("invalid_client") => ("invalid_client", ProviderError::Misconfigured(text)),
            Some("unauthorized_client" | "unsupported_grant_type" | "invalid_scope" | "invalid_target") => {
                ("refused", ProviderError::Misconfigured(text))
            }
            Some(_) if status.is_success() || status == StatusCode::BAD_REQUEST => {
                ("refused", ProviderError::Rejected(text))
            }
            // A redirect, 401, 403, 404, …: not the endpoint that the metadata promised, or not for us.
            Some(_) | None => ("status", ProviderError::Misconfigured(text)),
        };
        Self { dead: false, kind, error }
    }
}

/// Provider-supplied text, printable and bounded; secrets and long words become `…`.
pub(super) fn printable(text: &str, limit: usize, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "…");
    }
    let safe: String = text.chars().map(|c| if c.is_control() || "<>\"'`\\".contains(c) { ' ' } else { c }).collect();
    let words: Vec<&str> =
        safe.split_whitespace().map(|word| if word.chars().count() > LONGEST_WORD { "…" } else { word }).collect();
    words.join(" ").chars().take(limit).collect()
}
