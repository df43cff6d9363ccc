//! The logout flow: the session is deleted first, and regardless of the provider.
//!
//! What is said is true: when the store cannot delete, nobody is told that they are signed out. Sessions end
//! in a task that the process owns, even when the browser does not wait; tokens are revoked beside the answer.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use subtle::ConstantTimeEq;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::clock::random;
use crate::core::app::{App, Origin};
use crate::core::decide::TicketRefusal;
use crate::core::request::Headers;
use crate::core::session::Session;
use crate::core::set_cookie::SetCookie;
use crate::core::ticket::Ticket;
use crate::core::visit::Visit;
use crate::oidc::revocation::revoke_beside;
use crate::oidc::{EndSession, Provider, Providers, TokenKind};
use crate::store::StoreError;
use crate::store::vault::{Vault, id_of};
use crate::telemetry::metrics::Metrics;

/// A provider that does not tell its end-session endpoint in this time is left out: people who sign out do not wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// A longer URL than this may not get through; it is sent without the ID token then.
const LONGEST_URL: usize = 6000;

/// How long the way to the provider's logout page and back may take.
const STATE_LIFETIME: Duration = Duration::from_secs(600);

/// One request ends no more sessions than this: a browser shows one, and a few when somebody planted cookies.
const MOST_SESSIONS: usize = 4;

/// Ends sessions.
pub struct Logout {
    ending: Arc<Ending>,
    tasks: TaskTracker,
}

/// What a task that ends sessions works with.
struct Ending {
    vault: Arc<Vault>,
    providers: Providers,
    metrics: Metrics,
    tasks: TaskTracker,
}

/// A session that is gone.
struct Ended {
    session: Session,
    tag: String,
}

/// Nobody is signed in any more.
#[derive(Debug)]
pub struct SignedOut {
    /// The provider's end-session endpoint, or our own last page.
    pub location: String,
    /// The end of the session cookie, and the state of the way to the provider.
    pub cookies: Vec<SetCookie>,
    /// The session as logs name it, when there was one.
    pub tag: Option<String>,
}

/// How somebody came to the last page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// From the provider, with the state that we sent.
    Verified,
    /// With another state than the one that we sent.
    Wrong,
    /// Without a state, or without being waited for.
    Unverified,
}

impl Logout {
    /// The flow over its ports. `tasks` owns deletions and revocations.
    #[must_use]
    pub fn new(vault: Arc<Vault>, providers: Providers, metrics: Metrics, tasks: TaskTracker) -> Self {
        Self { ending: Arc::new(Ending { vault, providers, metrics, tasks: tasks.clone() }), tasks }
    }

    /// Ends the session that a request shows. Twice is the same as once, and without a session too.
    pub async fn sign_out(&self, visit: &Visit<'_>) -> Result<SignedOut, StoreError> {
        let app = visit.app;
        let mut gone = SignedOut { location: done_path(app), cookies: vec![SetCookie::clear_session(app)], tag: None };
        let tickets = self.ending.tickets(visit);
        if tickets.is_empty() {
            return Ok(gone);
        }
        // A browser that leaves takes its request with it, but not the task: what it asked for is done.
        let task = Arc::clone(&self.ending).end_all(Arc::clone(app), tickets).in_current_span();
        let ended = self.tasks.spawn(task).await;
        let ended = ended.map_err(|_| StoreError::Unavailable("the task that ends sessions failed".to_owned()))??;
        let Some(Ended { session, tag }) = ended else { return Ok(gone) };
        gone.tag = Some(tag);

        // The provider that signed the user in, even if the app has another one by now.
        if let Some(provider) = self.ending.providers.by_name(&session.provider) {
            let state = URL_SAFE_NO_PAD.encode(random::<32>());
            if let Some(url) = end_session(&**provider, visit, session.tokens.id_token, &state).await {
                gone.location = url;
                gone.cookies.push(SetCookie::round_trip(state_cookie(app), state, STATE_LIFETIME));
            }
        }
        Ok(gone)
    }

    /// Checks the return from the provider: `state` out of the query against the cookie.
    #[must_use]
    pub fn check_return(visit: &Visit<'_>, state: Option<&str>) -> (Return, Vec<SetCookie>) {
        let name = state_cookie(visit.app);
        let Some(sent) = visit.cookie(&name) else { return (Return::Unverified, Vec::new()) };
        let returned = match state {
            None => Return::Unverified,
            Some(state) if !state.is_empty() && bool::from(state.as_bytes().ct_eq(sent)) => Return::Verified,
            Some(_) => Return::Wrong,
        };
        (returned, vec![SetCookie::clear_round_trip(name)])
    }
}

impl Ending {
    /// The tickets whose sessions end. Of several cookies none is trusted, but whoever signs out leaves none behind.
    fn tickets(&self, visit: &Visit<'_>) -> Vec<Ticket> {
        match visit.ticket(self.vault.keyring()) {
            Ok(ticket) => ticket.into_iter().collect(),
            Err(TicketRefusal::Malformed) => {
                self.metrics.ticket_refused("malformed");
                Vec::new()
            }
            Err(TicketRefusal::Ambiguous) => {
                self.metrics.ticket_refused("ambiguous");
                visit.all_tickets(self.vault.keyring(), MOST_SESSIONS)
            }
        }
    }

    /// Ends each session, also when another one could not be ended; the first of them goes on to its provider.
    async fn end_all(self: Arc<Self>, app: Arc<App>, tickets: Vec<Ticket>) -> Result<Option<Ended>, StoreError> {
        let mut outcome = Ok(None);
        for ticket in &tickets {
            match (self.end(&app, ticket).await, &outcome) {
                (Ok(ended), Ok(None)) => outcome = Ok(ended),
                (Err(error), Ok(_)) => outcome = Err(error),
                (Ok(_), _) | (Err(_), Err(_)) => {}
            }
        }
        outcome
    }

    async fn end(&self, app: &App, ticket: &Ticket) -> Result<Option<Ended>, StoreError> {
        let Some(held) = self.vault.open(ticket, &app.name).await? else {
            // Perhaps there is a record that this version cannot open.
            self.vault.delete_id(id_of(ticket)).await?;
            return Ok(None);
        };
        self.vault.delete(ticket, &held.session).await?;
        self.metrics.logout(&app.name);
        if app.revoke_at_logout {
            self.revoke(&held.session);
        }
        Ok(Some(Ended { session: held.session, tag: id_of(ticket).tag() }))
    }

    /// Revokes the tokens of an ended session (RFC 7009): the refresh token first, because providers end the
    /// access tokens with it.
    fn revoke(&self, session: &Session) {
        let Some(provider) = self.providers.by_name(&session.provider) else { return };
        let tokens = &session.tokens;
        let refresh = tokens.refresh.clone().map(|token| (token, TokenKind::Refresh));
        let tokens = refresh.into_iter().chain([(tokens.access.clone(), TokenKind::Access)]).collect();
        revoke_beside(&self.tasks, provider, &session.app, tokens);
    }
}

/// Whether a request to sign out comes from the app's own pages: by Fetch Metadata, else `Origin`, else `Referer`.
/// Stricter than for the app itself: a trusted origin, or a session cookie that is not SameSite, changes nothing.
#[must_use]
pub fn comes_from_own_page(headers: &Headers<'_>, own: &Origin) -> bool {
    if headers.has("sec-fetch-site") {
        return headers.single("sec-fetch-site") == Some("same-origin");
    }
    if headers.has("origin") {
        return headers.single("origin") == Some(own.as_str());
    }
    let referer = headers.single("referer").and_then(|text| text.strip_prefix(own.as_str()));
    referer.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// The provider's end-session URL, when it has one and tells it in time.
async fn end_session(
    provider: &dyn Provider,
    visit: &Visit<'_>,
    hint: Option<SecretString>,
    state: &str,
) -> Option<String> {
    let request = EndSession {
        id_token_hint: hint,
        post_logout_redirect_uri: visit.own_url("/logout/done"),
        state: state.to_owned(),
    };
    let asked = async {
        match provider.end_session(request.clone()).await {
            Ok(Some(url)) if url.len() > LONGEST_URL => {
                provider.end_session(EndSession { id_token_hint: None, ..request }).await
            }
            answer => answer,
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(url)) => url,
        Ok(Err(error)) => {
            tracing::warn!(record.app = %visit.app.name, %error, "signed out here, but not at the provider");
            None
        }
        Err(_) => {
            tracing::warn!(record.app = %visit.app.name, "signed out here, but the provider does not answer");
            None
        }
    }
}

fn state_cookie(app: &App) -> String {
    format!("{}.o", app.cookie.name)
}

fn done_path(app: &App) -> String {
    format!("{}/done", app.logout_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_apps_own_pages_may_sign_out() {
        let own = Origin::new("https://shop.example.com".to_owned());
        let judge = |fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            comes_from_own_page(&Headers::new(fields), &own)
        };
        assert!(judge(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(judge(&[("origin", "https://shop.example.com")]));
        assert!(judge(&[("referer", "https://shop.example.com/x")]));
        for foreign in [
            &[][..],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://shop.example.com")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            &[("origin", "null")],
            &[("origin", "null"), ("referer", "https://shop.example.com/x")],
            &[("origin", "https://evil.example")],
            &[("referer", "https://shop.example.com.evil.example/x")],
            &[("referer", "https://shop.example.com@evil.example/")],
        ] {
            assert!(!judge(foreign), "{foreign:?}");
        }
    }
}
