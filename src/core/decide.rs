//! The decision: what becomes of a request.
//!
//! Three pure steps: [`classify`] settles what needs no session and refuses forged tickets before any store call,
//! [`decide`] judges a request with its session, [`conclude`] does so after a refresh.

use std::sync::Arc;
use std::time::Duration;

use super::answer;
use super::app::{App, Apps, Authorization, BindMismatch, SameSite};
use super::cookie::SessionCookie;
use super::csrf::{self, Standing};
use super::grant::Grant;
use super::keyring::Keyring;
use super::path::Target;
use super::policy::{Demand, RequiredClaim};
use super::request::Request;
use super::session::{Binding, Held, Session};
use super::ticket::Ticket;
use super::time::Timestamp;
use super::verdict::{Reason, Verdict};

/// What a request is, before the store is asked.
#[derive(Debug)]
pub enum Class {
    /// Answered without a session.
    Settled {
        /// The app, when one was found.
        app: Option<Arc<App>>,
        /// The answer.
        verdict: Verdict,
        /// A session cookie that was refused, and why.
        refused: Option<TicketRefusal>,
    },
    /// The answer depends on the session behind this ticket.
    Guarded(Guarded),
}

/// Why a session cookie did not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketRefusal {
    /// Not a ticket that we issued for this app.
    Malformed,
    /// More than one.
    Ambiguous,
}

/// A request that carries a ticket, with what its rule asks.
#[derive(Debug)]
pub struct Guarded {
    /// The app.
    pub app: Arc<App>,
    /// What the request shows; a good tag, the session may still be gone.
    pub ticket: Ticket,
    /// Claims the session must hold.
    claims: Vec<RequiredClaim>,
    /// Whether the request is forwarded without identity when there is no session.
    optional: bool,
}

/// What to do with a guarded request.
#[derive(Debug)]
pub enum Decision {
    /// Answer.
    Settled(Verdict),
    /// Answer, and refresh beside it: the token ends soon.
    RefreshBeside(Verdict),
    /// The token has ended: wait for a refresh, then [`conclude`].
    Refresh,
}

/// What a refresh came to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The session with new tokens.
    Refreshed(Arc<Held>),
    /// The session is over.
    Ended,
    /// No new token now; the session is kept.
    Later,
}

/// Reads a request as far as that goes without its session.
#[must_use]
pub fn classify(request: &Request<'_>, apps: &Apps, keyring: &Keyring) -> Class {
    let Some(app) = apps.of(request) else {
        return settled(None, answer::refused(request, 421, Reason::UnknownApp));
    };
    let policy = request.policy.map_or(Some(&app.default_policy), |name| app.policies.get(name));
    let Some(policy) = policy else {
        return settled(Some(app), answer::refused(request, 403, Reason::UnknownPolicy));
    };
    let Some(target) = Target::parse(request.target) else {
        return settled(Some(app), answer::refused(request, 400, Reason::Malformed));
    };
    if answer::is_preflight(request) {
        return settled(Some(app), forward_anonymous(request, app, Reason::Preflight));
    }
    match policy.demand(request.method, &target) {
        Demand::Nothing => settled(Some(app), forward_anonymous(request, app, Reason::Public)),
        Demand::Optional => with_ticket(request, app, keyring, (Vec::new(), true)),
        Demand::Session(claims) => with_ticket(request, app, keyring, (claims, false)),
    }
}

/// Judges a guarded request with its session, when there is one.
#[must_use]
pub fn decide(request: &Request<'_>, guarded: &Guarded, held: Option<&Held>, now: Timestamp, jitter: f64) -> Decision {
    let Some(held) = held else {
        return Decision::Settled(without_session(request, guarded, Reason::NoSession));
    };
    if is_over(held, &guarded.app, now) {
        return Decision::Settled(without_session(request, guarded, Reason::Ended));
    }
    if breaks_binding(request, &guarded.app, &held.session) {
        return Decision::Settled(without_session(request, guarded, Reason::BindMismatch));
    }
    match freshness(&held.session, &guarded.app, now, jitter) {
        Freshness::Fresh => Decision::Settled(with_session(request, guarded, &held.session)),
        Freshness::EndsSoon => Decision::RefreshBeside(with_session(request, guarded, &held.session)),
        Freshness::Ended if can_be_renewed(&held.session, &guarded.app) => Decision::Refresh,
        Freshness::Ended => Decision::Settled(without_session(request, guarded, Reason::Ended)),
    }
}

/// Answers a guarded request after its refresh. An ended token is never forwarded.
#[must_use]
pub fn conclude(request: &Request<'_>, guarded: &Guarded, outcome: &Outcome, now: Timestamp) -> Verdict {
    match outcome {
        Outcome::Refreshed(held) => match freshness(&held.session, &guarded.app, now, 0.0) {
            Freshness::Fresh | Freshness::EndsSoon => with_session(request, guarded, &held.session),
            // An ID token is forwarded, and the provider's refresh answers bring none: only a login does.
            Freshness::Ended if guarded.app.upstream.authorization == Authorization::IdToken => {
                without_session(request, guarded, Reason::Ended)
            }
            Freshness::Ended => answer::retry_later(request, Reason::Provider),
        },
        Outcome::Ended => without_session(request, guarded, Reason::Ended),
        Outcome::Later => answer::retry_later(request, Reason::Provider),
    }
}

/// Whether a session's binding fails and that is only to be told (`on_bind_mismatch: log`).
#[must_use]
pub fn tells_bind_mismatch(request: &Request<'_>, app: &App, session: &Session) -> bool {
    app.session.on_bind_mismatch == BindMismatch::Log && !session.binding.holds(&shown_binding(request, app))
}

/// How long until an idle session ends, from a use at `now`: the TTL of its record.
#[must_use]
pub fn idle_ttl(session: &Session, idle: Duration, now: Timestamp) -> Duration {
    idle.min(session.expires.since(now))
}

fn settled(app: Option<&Arc<App>>, verdict: Verdict) -> Class {
    Class::Settled { app: app.cloned(), verdict, refused: None }
}

fn with_ticket(request: &Request<'_>, app: &Arc<App>, keyring: &Keyring, asks: (Vec<RequiredClaim>, bool)) -> Class {
    let (claims, optional) = asks;
    let (verdict, refused) = match request.cookies.session(&app.cookie.name) {
        SessionCookie::One(value) => match Ticket::parse(value, &app.name, keyring) {
            Some(ticket) => return guard(request, Guarded { app: Arc::clone(app), ticket, claims, optional }),
            None => (anonymous(request, app, optional), Some(TicketRefusal::Malformed)),
        },
        SessionCookie::Ambiguous => (anonymous(request, app, optional), Some(TicketRefusal::Ambiguous)),
        SessionCookie::Absent if is_withheld(request, app) => (answer::bounce(request, app), None),
        SessionCookie::Absent => (anonymous(request, app, optional), None),
    };
    Class::Settled { app: Some(Arc::clone(app)), verdict, refused }
}

/// A ticket is there; whether the request may use it needs no store.
fn guard(request: &Request<'_>, guarded: Guarded) -> Class {
    match csrf::judge(request, &guarded.app) {
        Standing::Trusted => Class::Guarded(guarded),
        Standing::Untrusted if guarded.optional && !csrf::acts(request) => {
            settled(Some(&guarded.app), forward_anonymous(request, &guarded.app, Reason::Anonymous))
        }
        Standing::Untrusted => settled(Some(&guarded.app), answer::forbidden(request, Reason::Csrf)),
    }
}

/// Whether the browser may have a Strict cookie that it did not send: a visit that another site started.
fn is_withheld(request: &Request<'_>, app: &App) -> bool {
    app.cookie.same_site == SameSite::Strict
        && request.method == "GET"
        && request.headers.single("sec-fetch-site") == Some("cross-site")
        && csrf::is_top_level_navigation(request)
        && answer::Kind::of(request) == answer::Kind::Navigation
}

fn anonymous(request: &Request<'_>, app: &App, optional: bool) -> Verdict {
    if optional {
        forward_anonymous(request, app, Reason::Anonymous)
    } else {
        answer::unauthenticated(request, app, Reason::NoSession)
    }
}

fn without_session(request: &Request<'_>, guarded: &Guarded, reason: Reason) -> Verdict {
    if guarded.optional {
        forward_anonymous(request, &guarded.app, Reason::Anonymous)
    } else {
        answer::unauthenticated(request, &guarded.app, reason)
    }
}

fn with_session(request: &Request<'_>, guarded: &Guarded, session: &Session) -> Verdict {
    if guarded.claims.iter().all(|claim| claim.holds(&session.claims)) {
        Verdict::Forward(Grant::of_session(request, &guarded.app, session))
    } else {
        answer::forbidden(request, Reason::Claims)
    }
}

fn forward_anonymous(request: &Request<'_>, app: &App, reason: Reason) -> Verdict {
    Verdict::Forward(Grant::anonymous(request, app, reason))
}

fn is_over(held: &Held, app: &App, now: Timestamp) -> bool {
    now >= held.session.expires || now.since(held.last_seen) >= app.session.idle
}

fn breaks_binding(request: &Request<'_>, app: &App, session: &Session) -> bool {
    app.session.on_bind_mismatch == BindMismatch::Reauthenticate && !session.binding.holds(&shown_binding(request, app))
}

fn shown_binding(request: &Request<'_>, app: &App) -> Binding {
    let user_agent = request.headers.single("user-agent").map(str::as_bytes);
    Binding::of(&app.session, user_agent, request.client)
}

/// Whether a refresh may bring what goes upstream. Where that is the ID token and a refresh after its end brought no
/// new one, none will: only a login does.
fn can_be_renewed(session: &Session, app: &App) -> bool {
    let in_vain = app.upstream.authorization == Authorization::IdToken
        && session.tokens.id_token_expires.is_some_and(|end| session.obtained >= end);
    session.tokens.refresh.is_some() && !in_vain
}

enum Freshness {
    Fresh,
    EndsSoon,
    Ended,
}

/// How the token that goes upstream stands. Refreshed ahead of its end by the configured margin, but at most by a
/// tenth of its lifetime; `jitter` (0 to 1) spreads sessions over a fifth more.
fn freshness(session: &Session, app: &App, now: Timestamp, jitter: f64) -> Freshness {
    let expires = match app.upstream.authorization {
        Authorization::AccessToken => session.tokens.access_expires,
        Authorization::IdToken => session.tokens.id_token_expires.unwrap_or(session.tokens.access_expires),
        Authorization::Nothing => return Freshness::Fresh,
    };
    if now >= expires {
        return Freshness::Ended;
    }
    let lifetime = expires.since(session.obtained);
    let margin = app.refresh_margin.min(lifetime / 10).mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0));
    if session.tokens.refresh.is_some() && now + margin >= expires { Freshness::EndsSoon } else { Freshness::Fresh }
}

#[cfg(test)]
mod tests;
