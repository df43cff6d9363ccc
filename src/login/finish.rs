//! The second half of a login: the callback. Everything that can be refused without the provider is refused
//! before the code is touched, and a store that cannot remember the attempt stops it while it can still be repeated.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::Login;
use super::redeem::Redeeming;
use crate::core::app::App;
use crate::core::attempt::Attempt;
use crate::core::callback::{Answer, AuthorizeError, Callback};
use crate::core::client::client_hint;
use crate::core::return_to::ReturnTo;
use crate::core::set_cookie::SetCookie;
use crate::core::ticket::Ticket;
use crate::core::visit::Visit;
use crate::oidc::{Provider, ProviderError, Redemption, SharedProvider};
use crate::store::vault::id_of;
use crate::store::{OnceKey, SessionId, StoreError};

/// A mark outlives the attempt that it is for by this much.
const MARK_MARGIN: Duration = Duration::from_secs(60);

/// Somebody is signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// Where they wanted to go.
    pub return_to: ReturnTo,
    /// The session cookie, and the end of the attempt's.
    pub cookies: Vec<SetCookie>,
    /// The session as logs name it.
    pub tag: String,
}

/// Nobody is signed in.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// Where they wanted to go, once the attempt is known.
    pub return_to: Option<ReturnTo>,
    /// The end of the attempt's cookie, once it cannot be finished any more.
    pub cookies: Vec<SetCookie>,
}

/// Why nobody is signed in. Each is another thing to tell.
#[derive(Debug)]
pub enum Refusal {
    /// The query is no answer of a provider.
    Malformed,
    /// This browser began no such login, or it is finished already.
    Unknown,
    /// It took too long.
    Expired,
    /// The answer is not from the provider that was asked (RFC 9207 §2.4).
    WrongIssuer,
    /// The same answer came before.
    Used,
    /// The provider did not sign the user in.
    NotAuthorized(AuthorizeError),
    /// The provider cannot be asked, or its answer is not accepted.
    Provider(ProviderError),
    /// The store failed before the code was redeemed: the same callback works again.
    Paused(StoreError),
    /// The store failed after the code was redeemed.
    Lost(StoreError),
    /// A logout everywhere came in between.
    Ended,
}

impl Refusal {
    /// For the metric.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown_attempt",
            Self::Expired => "expired",
            Self::WrongIssuer => "wrong_issuer",
            Self::Used => "replayed",
            Self::NotAuthorized(_) => "not_authorized",
            Self::Provider(ProviderError::Unavailable(_)) => "provider_unavailable",
            Self::Provider(ProviderError::Misconfigured(_)) => "provider_misconfigured",
            Self::Provider(ProviderError::Rejected(_)) => "rejected",
            Self::Paused(_) | Self::Lost(_) => "store_error",
            Self::Ended => "ended",
        }
    }
}

/// The attempt that an answer belongs to.
struct Known {
    attempt: Attempt,
    return_to: ReturnTo,
    cookie: String,
}

impl Known {
    /// Refuses, and leaves the attempt as it is: the right answer may still come.
    fn keep(self, why: Refusal) -> Refused {
        Refused { why, return_to: Some(self.return_to), cookies: Vec::new() }
    }

    /// Refuses, and ends the attempt.
    fn end(self, why: Refusal) -> Refused {
        let cookies = vec![SetCookie::clear_round_trip(self.cookie)];
        Refused { why, return_to: Some(self.return_to), cookies }
    }
}

impl Login {
    /// Finishes a login: `query` is that of the callback.
    pub async fn finish(&self, visit: &Visit<'_>, query: &str) -> Result<SignedIn, Refused> {
        let outcome = self.answer(visit, query).await;
        self.metrics
            .login(&visit.app.name, outcome.as_ref().map_or_else(|refused| refused.why.outcome(), |_| "success"));
        outcome
    }

    async fn answer(&self, visit: &Visit<'_>, query: &str) -> Result<SignedIn, Refused> {
        let unknown = |why| Refused { why, return_to: None, cookies: Vec::new() };
        let callback = Callback::parse(query).ok_or_else(|| unknown(Refusal::Malformed))?;
        let known = self.recognise(visit, &callback.state).ok_or_else(|| unknown(Refusal::Unknown))?;
        if !known.attempt.is_alive(self.clock.now(), visit.app.login.attempt_lifetime) {
            return Err(known.end(Refusal::Expired));
        }
        let provider = match self.provider(visit.app) {
            Ok(provider) => Arc::clone(provider),
            Err(error) => return Err(known.keep(Refusal::Provider(error))),
        };
        if let Err(why) = check_issuer(&*provider, callback.issuer.as_deref()).await {
            return Err(known.keep(why));
        }
        let code = match callback.answer {
            // Without a code there is nothing to protect from a second use: taking the cookie away is enough.
            Answer::Error(error) => return Err(known.end(Refusal::NotAuthorized(error))),
            Answer::Code(code) => code,
        };
        match self.claim(visit.app, &known.attempt).await {
            Ok(true) => {}
            Ok(false) => return Err(known.end(Refusal::Used)),
            Err(error) => return Err(known.keep(Refusal::Paused(error))),
        }
        match self.redeem(visit, &provider, &known.attempt, code).await {
            Ok(ticket) => Ok(self.welcome(visit, known, &ticket)),
            Err(why) => Err(known.end(why)),
        }
    }

    /// The attempt behind a state: begun in this browser, for this app, its provider and this origin.
    fn recognise(&self, visit: &Visit<'_>, state: &str) -> Option<Known> {
        let drawer = self.drawer(visit.app);
        let attempt = drawer.find(state, visit.request.cookies.pairs())?;
        if *attempt.provider != *visit.app.provider || attempt.origin != visit.origin.as_str() {
            return None;
        }
        let return_to = ReturnTo::parse(&attempt.return_to, visit.origin, &visit.app.login.prefix);
        Some(Known { cookie: drawer.cookie_name(state), attempt, return_to })
    }

    /// Marks the attempt as used, before the code goes out: `false` when it was used before.
    async fn claim(&self, app: &App, attempt: &Attempt) -> Result<bool, StoreError> {
        let key = OnceKey::of(&[b"login attempt\0", app.name.as_bytes(), b"\0", attempt.state.as_bytes()]);
        self.vault.store().claim_once(key, app.login.attempt_lifetime + MARK_MARGIN).await
    }

    /// Redeems in a task that the process owns, and waits for it.
    async fn redeem(
        &self,
        visit: &Visit<'_>,
        provider: &SharedProvider,
        attempt: &Attempt,
        code: SecretString,
    ) -> Result<Ticket, Refusal> {
        let redeeming = Redeeming {
            app: Arc::clone(visit.app),
            provider: Arc::clone(provider),
            redemption: Redemption {
                code,
                redirect_uri: visit.own_url("/callback"),
                nonce: attempt.nonce.clone(),
                verifier: attempt.verifier.clone(),
                userinfo: visit.app.login.userinfo,
            },
            began: attempt.created,
            binding: visit.binding(),
            client_hint: client_hint(visit.user_agent(), visit.request.client),
            shown: visit.ticket(self.vault.keyring()).ok().flatten(),
            previous: attempt.previous.map(SessionId),
            vault: Arc::clone(&self.vault),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            tasks: self.tasks.clone(),
        };
        let (tell, told) = oneshot::channel();
        self.tasks.spawn(redeeming.run(tell).in_current_span());
        let failed = |_| Refusal::Lost(StoreError::Unavailable("the task that makes a session failed".to_owned()));
        told.await.map_err(failed)?
    }

    fn welcome(&self, visit: &Visit<'_>, known: Known, ticket: &Ticket) -> SignedIn {
        let mut cookies = vec![SetCookie::clear_round_trip(known.cookie)];
        // Issued a moment ago under the first key of the same ring.
        if let Some(value) = ticket.cookie_value(&visit.app.name, self.vault.keyring()) {
            cookies.push(SetCookie::session(visit.app, value));
        }
        SignedIn { return_to: known.return_to, cookies, tag: id_of(ticket).tag() }
    }
}

/// RFC 9207 §2.4: an `iss` must be the issuer that was asked, character by character; where the provider promises
/// one, it must be there, in error answers too.
async fn check_issuer(provider: &dyn Provider, issuer: Option<&str>) -> Result<(), Refusal> {
    match issuer {
        Some(issuer) if issuer == provider.issuer() => Ok(()),
        Some(_) => Err(Refusal::WrongIssuer),
        None if provider.sends_issuer().await.map_err(Refusal::Provider)? => Err(Refusal::WrongIssuer),
        None => Ok(()),
    }
}
