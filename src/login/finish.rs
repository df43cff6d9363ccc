//! The second half of a login: the callback. Everything that can be refused without the provider is refused
//! before the code is touched, and a store that cannot remember the attempt stops it while it can still be repeated.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::Login;
use crate::core::app::App;
use crate::core::attempt::Attempt;
use crate::core::callback::{Answer, AuthorizeError, Callback};
use crate::core::client::client_hint;
use crate::core::return_to::ReturnTo;
use crate::core::session::{Session, Tokens};
use crate::core::set_cookie::SetCookie;
use crate::core::ticket::Ticket;
use crate::core::visit::Visit;
use crate::oidc::revocation::revoke_beside;
use crate::oidc::{Authenticated, Provider, ProviderError, Redemption, SharedProvider, TokenKind};
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
            Ok(ticket) => Ok(self.welcome(visit, known, ticket).await),
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

    async fn redeem(
        &self,
        visit: &Visit<'_>,
        provider: &SharedProvider,
        attempt: &Attempt,
        code: SecretString,
    ) -> Result<Ticket, Refusal> {
        let app = visit.app;
        let redemption = Redemption {
            code,
            redirect_uri: visit.own_url("/callback"),
            nonce: attempt.nonce.clone(),
            verifier: attempt.verifier.clone(),
            userinfo: app.login.userinfo,
        };
        let who = provider.redeem(redemption).await.map_err(Refusal::Provider)?;
        let session = self.session(visit, who);
        let why = match self.vault.create(&session, app.session.idle, attempt.created).await {
            Ok(Some(ticket)) => return Ok(ticket),
            Ok(None) => Refusal::Ended,
            Err(error) => Refusal::Lost(error),
        };
        self.discard(provider, session);
        Err(why)
    }

    /// Tokens that no session holds would live on at the provider: the refresh token is revoked, whose access tokens
    /// end with it, else the access token.
    fn discard(&self, provider: &SharedProvider, session: Session) {
        let Tokens { refresh, access, .. } = session.tokens;
        let token = refresh.map_or((access, TokenKind::Access), |refresh| (refresh, TokenKind::Refresh));
        revoke_beside(&self.tasks, provider, &session.app, vec![token]);
    }

    fn session(&self, visit: &Visit<'_>, who: Authenticated) -> Session {
        let now = self.clock.now();
        Session {
            app: Arc::clone(&visit.app.name),
            provider: Arc::clone(&visit.app.provider),
            identity: who.identity,
            tokens: who.tokens,
            claims: who.claims,
            created: now,
            obtained: now,
            expires: now + visit.app.session.absolute,
            binding: visit.binding(),
            auth_time: who.auth_time,
            client_hint: client_hint(visit.user_agent(), visit.request.client),
        }
    }

    async fn welcome(&self, visit: &Visit<'_>, known: Known, ticket: Ticket) -> SignedIn {
        self.retire(visit, known.attempt.previous).await;
        let mut cookies = vec![SetCookie::clear_round_trip(known.cookie)];
        // Issued a moment ago under the first key of the same ring.
        if let Some(value) = ticket.cookie_value(&visit.app.name, self.vault.keyring()) {
            cookies.push(SetCookie::session(visit.app, value));
        }
        SignedIn { return_to: known.return_to, cookies, tag: id_of(&ticket).tag() }
    }

    /// Deletes what the new session replaces: the session that this browser had when the login began, and the
    /// one it shows now. The login stands even where that fails: nobody holds the old ticket any more once the
    /// new cookie has arrived, and the idle lifetime ends the old session.
    async fn retire(&self, visit: &Visit<'_>, previous: Option<[u8; 16]>) {
        let shown = visit.ticket(self.vault.keyring()).ok().flatten();
        let replaced = shown.as_ref().map(id_of);
        if let Some(ticket) = shown {
            warn_unless_gone(visit.app, self.delete(visit.app, &ticket).await);
        }
        if let Some(id) = previous.map(SessionId).filter(|id| Some(*id) != replaced) {
            warn_unless_gone(visit.app, self.vault.delete_id(id).await);
        }
    }

    async fn delete(&self, app: &App, ticket: &Ticket) -> Result<bool, StoreError> {
        match self.vault.open(ticket, &app.name).await? {
            Some(held) => self.vault.delete(ticket, &held.session).await,
            None => self.vault.delete_id(id_of(ticket)).await,
        }
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

fn warn_unless_gone(app: &App, deleted: Result<bool, StoreError>) {
    if let Err(error) = deleted {
        tracing::warn!(record.app = %app.name, %error, "the session that a login replaced could not be deleted");
    }
}
