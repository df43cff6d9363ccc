//! The grant: which headers an allowed request gets, and which it loses.
//!
//! A managed header is one that only coatcheck may put on a request to the upstream: `Authorization` and the app's
//! claim headers. On every allow, public routes included, each is either set by us or removed.

use secrecy::ExposeSecret;
use serde_json::Value;

use super::app::{App, Authorization};
use super::cookie::Cut;
use super::request::Request;
use super::session::Session;
use super::verdict::Reason;

/// Longer header values are not sent: Envoy answers 500 when the whole head outgrows its limit (60 KiB).
const MAX_VALUE: usize = 8 * 1024;

/// Header mutations of an allowed request. A name is never in both lists: Envoy removes after it sets.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Headers to set, replacing whatever the client sent.
    pub set: Vec<(String, String)>,
    /// Headers to remove.
    pub remove: Vec<String>,
    /// Why it was allowed.
    pub reason: Reason,
}

impl Grant {
    /// Without identity: every managed header goes.
    #[must_use]
    pub fn anonymous(request: &Request<'_>, app: &App, reason: Reason) -> Self {
        Self::build(request, app, Vec::new(), reason)
    }

    /// With the identity of a session.
    #[must_use]
    pub fn of_session(request: &Request<'_>, app: &App, session: &Session) -> Self {
        let mut set = Vec::with_capacity(app.upstream.headers.len() + 2);
        let token = match app.upstream.authorization {
            Authorization::AccessToken => Some(&session.tokens.access),
            Authorization::IdToken => session.tokens.id_token.as_ref(),
            Authorization::Nothing => None,
        };
        if let Some(token) = token {
            set.push(("authorization".to_owned(), format!("Bearer {}", token.expose_secret())));
        }
        for header in &app.upstream.headers {
            if let Some(value) = session.claims.get(&header.claim).and_then(|value| header_value(&value)) {
                set.push((header.name.clone(), value));
            }
        }
        Self::build(request, app, set, Reason::Session)
    }

    fn build(request: &Request<'_>, app: &App, mut set: Vec<(String, String)>, reason: Reason) -> Self {
        let mut remove: Vec<String> =
            managed(app).filter(|name| !set.iter().any(|(known, _)| known == name)).map(str::to_owned).collect();
        remove.extend(look_alikes(request, app));
        match request.cookies.cut(&app.cookie.name) {
            Cut::Untouched => {}
            Cut::Removed => remove.push("cookie".to_owned()),
            Cut::Replaced(rest) => set.push(("cookie".to_owned(), rest)),
        }
        Self { set, remove, reason }
    }
}

/// Prints names only.
impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.set.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Grant")
            .field("set", &names)
            .field("remove", &self.remove)
            .field("reason", &self.reason)
            .finish()
    }
}

fn managed(app: &App) -> impl Iterator<Item = &str> {
    std::iter::once("authorization").chain(app.upstream.headers.iter().map(|header| header.name.as_str()))
}

/// What the client sent that a CGI-like upstream would take for a managed header: `x_user_id` for `x-user-id`
/// (both become `HTTP_X_USER_ID`).
fn look_alikes(request: &Request<'_>, app: &App) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for sent in request.headers.names().filter(|name| name.contains('_')) {
        let folded = sent.to_ascii_lowercase().replace('_', "-");
        let looks_managed = managed(app).any(|name| name.replace('_', "-") == folded && name != sent);
        if looks_managed && !found.iter().any(|known| known == sent) {
            found.push(sent.to_owned());
        }
    }
    found
}

/// A claim as header value: text as it is, numbers and booleans as JSON writes them, lists joined by commas (a comma
/// or percent sign inside an element is percent-encoded, so that no element can pass for two), objects as JSON.
/// `None` for what no header can carry: nothing, control characters, an absurd length.
fn header_value(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(list_element).collect::<Vec<_>>().join(","),
    };
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= MAX_VALUE && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn list_element(item: &Value) -> Option<String> {
    let text = match item {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => item.to_string(),
    };
    Some(text.replace('%', "%25").replace(',', "%2C"))
}

#[cfg(test)]
mod tests;
