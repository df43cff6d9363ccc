//! The login flow: from `/auth/login` to the provider, and from the callback to a session.
//!
//! Nothing is written to the store for somebody who is not signed in; what has to come back travels in a sealed
//! cookie. A code is redeemed at most once, and only after the store has promised to remember that.

mod finish;
mod redeem;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::task::TaskTracker;
use url::form_urlencoded;

use crate::clock::{SharedClock, random};
use crate::core::app::App;
use crate::core::attempt::{Attempt, Drawer};
use crate::core::return_to::ReturnTo;
use crate::core::set_cookie::SetCookie;
use crate::core::ticket::Ticket;
use crate::core::visit::Visit;
use crate::oidc::{AuthorizeRequest, ProviderError, Providers, SharedProvider};
use crate::store::vault::Vault;
use crate::telemetry::metrics::Metrics;

pub use finish::{Refusal, Refused, SignedIn};

/// Parameters of an authorization request that are ours alone, whatever the config allows.
const RESERVED: [&str; 13] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// A passed-on parameter is no longer than this.
const LONGEST_PARAMETER: usize = 512;

/// Starts and finishes logins.
pub struct Login {
    vault: Arc<Vault>,
    providers: Providers,
    clock: SharedClock,
    metrics: Metrics,
    tasks: TaskTracker,
}

/// A login that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The provider's authorization endpoint with our request.
    pub location: String,
    /// The attempt, and older attempts that give way.
    pub cookies: Vec<SetCookie>,
}

/// What the query of `/auth/login` asks for.
struct Wishes {
    return_to: ReturnTo,
    extra: Vec<(String, String)>,
}

impl Login {
    /// The flow over its ports. `tasks` owns redemptions and revocations.
    #[must_use]
    pub fn new(
        vault: Arc<Vault>,
        providers: Providers,
        clock: SharedClock,
        metrics: Metrics,
        tasks: TaskTracker,
    ) -> Self {
        Self { vault, providers, clock, metrics, tasks }
    }

    /// Begins a login: `query` is that of `/auth/login`.
    pub async fn begin(&self, visit: &Visit<'_>, query: &str) -> Result<Begun, ProviderError> {
        let app = visit.app;
        let wishes = Wishes::read(query, visit);
        let attempt = self.attempt(visit, &wishes.return_to);
        let request = AuthorizeRequest {
            redirect_uri: visit.own_url("/callback"),
            scopes: app.login.scopes.clone(),
            state: attempt.state.clone(),
            nonce: attempt.nonce.clone(),
            verifier: attempt.verifier.clone(),
            extra: wishes.extra,
        };
        let begun = match self.provider(app) {
            Ok(provider) => provider.authorize(request).await,
            Err(error) => Err(error),
        };
        self.metrics.login(&app.name, if begun.is_ok() { "started" } else { "not_started" });
        let location = begun?;

        let drawer = self.drawer(app);
        let (name, value) = attempt.cookie(drawer, random());
        let evicted = drawer.evict(visit.request.cookies.pairs(), attempt.created);
        let mut cookies: Vec<SetCookie> = evicted.into_iter().map(SetCookie::clear_round_trip).collect();
        cookies.push(SetCookie::round_trip(name, value, app.login.attempt_lifetime));
        Ok(Begun { location, cookies })
    }

    fn attempt(&self, visit: &Visit<'_>, return_to: &ReturnTo) -> Attempt {
        let replaced = visit.ticket(self.vault.keyring()).ok().flatten();
        Attempt {
            app: visit.app.name.to_string(),
            provider: visit.app.provider.to_string(),
            origin: visit.origin.as_str().to_owned(),
            state: random_text(),
            nonce: random_text(),
            verifier: random_text().into(),
            return_to: return_to.as_str().to_owned(),
            created: self.clock.now(),
            previous: replaced.as_ref().map(Ticket::session_id),
        }
    }

    fn drawer<'a>(&'a self, app: &'a App) -> Drawer<'a> {
        Drawer {
            app: &app.name,
            session_cookie: &app.cookie.name,
            lifetime: app.login.attempt_lifetime,
            keyring: self.vault.keyring(),
        }
    }

    fn provider(&self, app: &App) -> Result<&SharedProvider, ProviderError> {
        self.providers
            .by_name(&app.provider)
            .ok_or_else(|| ProviderError::Misconfigured("the app's provider is not configured".to_owned()))
    }
}

impl Wishes {
    fn read(query: &str, visit: &Visit<'_>) -> Self {
        let app = visit.app;
        let mut target: Option<String> = None;
        let mut extra: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "return_to" {
                target.get_or_insert_with(|| value.into_owned());
            } else if passes_on(app, &name, &value) && !extra.iter().any(|(known, _)| *known == name) {
                extra.push((name.into_owned(), value.into_owned()));
            }
        }
        let return_to =
            target.map_or_else(ReturnTo::default, |text| ReturnTo::parse(&text, visit.origin, &app.login.prefix));
        Self { return_to, extra }
    }
}

/// Whether a parameter goes on to the provider: by the app's allow-list only.
fn passes_on(app: &App, name: &str, value: &str) -> bool {
    app.login.allow_params.iter().any(|allowed| allowed == name)
        && !RESERVED.contains(&name)
        && value.len() <= LONGEST_PARAMETER
        && !value.chars().any(char::is_control)
}

/// 256 random bits, in the alphabet that PKCE allows (RFC 7636 §4.1: 43 characters).
fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}
