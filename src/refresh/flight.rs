//! One refresh of one session, from the lease to the stored answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Refresher;
use crate::clock::random;
use crate::core::decide::Outcome;
use crate::core::session::{Generation, Held, Session};
use crate::core::ticket::Ticket;
use crate::oidc::{ProviderError, RefreshError, RefreshRequest, Refreshed, SharedProvider, TokenKind};
use crate::store::{LeaseOwner, OnceKey, Replaced, SessionId, StoreError};

/// A lease is short and renewed while the provider call runs, so that a killed holder is replaced within this time,
/// inside every provider's grace period.
const LEASE: Duration = Duration::from_secs(3);

/// How often a held lease is renewed.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often a replica that does not hold the lease looks for the holder's result.
const LOOK: Duration = Duration::from_millis(100);

/// A replica that does not hold the lease gives up after this time; the next request starts over.
const LONGEST_WATCH: Duration = Duration::from_secs(45);

/// A store that fails for a moment does not fail everyone who waits: reading and leasing are tried for this long.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Pauses between attempts to store tokens that the provider rotated: from the first to the longest, doubling.
const SAVE_PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(100));

/// After a store failed, a new attempt waits this long and reads again: longer than the longest of [`SAVE_PAUSES`], so
/// that a replica with rotated tokens in its memory comes first.
const SETTLE: Duration = Duration::from_millis(500);

/// A refresh under way.
pub(super) struct Flight {
    pub(super) refresher: Arc<Refresher>,
    pub(super) provider: SharedProvider,
    pub(super) ticket: Ticket,
    pub(super) id: SessionId,
    /// The session as the request that began the flight saw it.
    pub(super) held: Held,
    pub(super) sender: watch::Sender<Option<Outcome>>,
}

impl Drop for Flight {
    /// However a flight ends, the next request may start another.
    fn drop(&mut self) {
        self.refresher.flights().remove(&self.id);
    }
}

impl Flight {
    /// Flies and tells everyone who waits.
    pub(super) async fn fly(self) {
        let owner = LeaseOwner(random());
        let outcome = if let Some(outcome) = self.take_lease(owner).await {
            outcome
        } else {
            let outcome = self.refresh(owner).await;
            if let Err(error) = self.refresher.vault.store().release_lease(self.id, owner).await {
                tracing::debug!(%error, "a refresh lease was not given back; it runs out by itself");
            }
            outcome
        };
        let span = tracing::Span::current();
        span.record("outcome", describe(&outcome));
        if matches!(outcome, Outcome::Later) {
            span.record("otel.status_code", "ERROR");
        }
        self.sender.send_replace(Some(outcome));
    }

    /// Waits for the lease. `Some`: somebody else holds it and came to this outcome.
    async fn take_lease(&self, owner: LeaseOwner) -> Option<Outcome> {
        let began = Instant::now();
        loop {
            match self.refresher.vault.store().acquire_lease(self.id, owner, LEASE).await {
                Ok(true) => return None,
                Ok(false) if began.elapsed() >= LONGEST_WATCH => return Some(Outcome::Later),
                Ok(false) => sleep(LOOK).await,
                Err(error) if began.elapsed() >= STORE_PATIENCE => return Some(self.store_failed(&error)),
                Err(_) => {
                    sleep(LOOK).await;
                    continue;
                }
            }
            match self.refresher.vault.open(&self.ticket, &self.held.session.app).await {
                Ok(Some(held)) if self.is_news(&held) => {
                    self.count("reused");
                    return Some(Outcome::Refreshed(Arc::new(held)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Some(Outcome::Ended),
                Err(error) if began.elapsed() >= STORE_PATIENCE => return Some(self.store_failed(&error)),
                Err(_) => {}
            }
        }
    }

    /// The record as it stands now.
    async fn read(&self) -> Result<Option<Held>, StoreError> {
        let began = Instant::now();
        loop {
            match self.refresher.vault.open(&self.ticket, &self.held.session.app).await {
                Err(_) if began.elapsed() < STORE_PATIENCE => sleep(LOOK).await,
                outcome => return outcome,
            }
        }
    }

    /// Under the lease: reads again, asks the provider once, stores the answer.
    async fn refresh(&self, owner: LeaseOwner) -> Outcome {
        if self.refresher.is_store_recovering() {
            sleep(SETTLE).await;
        }
        let current = match self.read().await {
            Ok(Some(current)) => current,
            Ok(None) => return Outcome::Ended,
            Err(error) => return self.store_failed(&error),
        };
        if self.is_news(&current) {
            // Somebody refreshed between our reading and our lease.
            self.count("reused");
            return Outcome::Refreshed(Arc::new(current));
        }
        let Some(refresh_token) = current.session.tokens.refresh.clone() else { return Outcome::Ended };
        let attempt = attempt_key(self.id, current.generation);
        if let Some(outcome) = self.begin_attempt(attempt).await {
            return outcome;
        }
        let request = RefreshRequest {
            refresh_token,
            identity: current.session.identity.clone(),
            auth_time: current.session.auth_time,
        };
        // The lease is kept until the answer is stored, however long the store needs.
        tokio::select! {
            outcome = self.ask(current, request) => outcome,
            never = self.keep_lease(owner, attempt) => match never {},
        }
    }

    /// Asks the provider once, and sees to the answer.
    async fn ask(&self, current: Held, request: RefreshRequest) -> Outcome {
        let answer = self.provider.refresh(request).await;
        if !matches!(answer, Err(RefreshError::Transient { .. })) {
            // It answered, whatever it answered.
            self.refresher.patience().succeeded(self.id, self.provider.name());
        }
        match answer {
            Ok(refreshed) => self.save(current, refreshed).await,
            Err(RefreshError::Dead(why)) => self.refused(&current, &why).await,
            Err(RefreshError::Foreign(why)) => {
                self.count("foreign");
                tracing::warn!(provider = self.provider.name(), %why, "a refresh answer was not for this session; it ends");
                self.end(&current.session).await
            }
            Err(RefreshError::Transient { error, reached: _ }) => self.failed(current.generation, &error).await,
        }
    }

    /// Marks the attempt in the store, so that no replica sends this refresh token again while it runs and until the
    /// pause after it is over. `Some`: an attempt was made a moment ago.
    async fn begin_attempt(&self, attempt: OnceKey) -> Option<Outcome> {
        match self.refresher.vault.store().claim_once(attempt, LEASE).await {
            Ok(true) => None,
            Ok(false) => {
                self.refresher.patience().pause(self.id, self.refresher.clock.now());
                Some(Outcome::Later)
            }
            Err(error) => Some(self.store_failed(&error)),
        }
    }

    /// Renews the mark and the lease for as long as it is polled, and takes back a lease that a failing store lost.
    async fn keep_lease(&self, owner: LeaseOwner, attempt: OnceKey) -> Infallible {
        let store = self.refresher.vault.store();
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let held = async {
                store.hold_once(attempt, LEASE).await?;
                Ok(store.extend_lease(self.id, owner, LEASE).await?
                    || store.acquire_lease(self.id, owner, LEASE).await?)
            };
            match held.await {
                Ok(true) => {}
                Ok(false) => tracing::warn!("a refresh lease was lost while the provider was asked"),
                Err(error) => self.trouble(&error, "a refresh lease could not be renewed"),
            }
        }
    }

    /// Stores what the provider answered, for as long as the session lives.
    async fn save(&self, current: Held, refreshed: Refreshed) -> Outcome {
        let session = merge(current.session, refreshed, self.refresher.clock.now());
        let mut fresh = Held { session, ..current };
        let (mut pause, longest) = SAVE_PAUSES;
        loop {
            match self.refresher.vault.replace(&self.ticket, &fresh.session, fresh.generation).await {
                Ok(Replaced::Done(generation)) => {
                    self.count("refreshed");
                    return Outcome::Refreshed(Arc::new(Held { generation, ..fresh }));
                }
                Ok(Replaced::Gone) => return self.discard(&fresh.session).await,
                Ok(Replaced::Conflict(_)) => {
                    if let Some(outcome) = self.settle(&mut fresh).await {
                        return outcome;
                    }
                }
                Err(error) => {
                    if self.sender.borrow().is_none() {
                        tracing::error!(%error, "refreshed tokens are not stored yet; served from memory and tried again");
                    }
                    self.sender.send_replace(Some(Outcome::Refreshed(Arc::new(fresh.clone()))));
                }
            }
            if self.refresher.clock.now() >= fresh.session.expires {
                return Outcome::Ended;
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Somebody wrote meanwhile: the later tokens win. `None`: ours do, to be written over theirs.
    async fn settle(&self, fresh: &mut Held) -> Option<Outcome> {
        match self.refresher.vault.open(&self.ticket, &fresh.session.app).await {
            Ok(Some(theirs)) => {
                let ours = fresh.session.tokens.access.expose_secret() == theirs.session.tokens.access.expose_secret();
                if ours || theirs.session.obtained >= fresh.session.obtained {
                    self.count(if ours { "refreshed" } else { "reused" });
                    return Some(Outcome::Refreshed(Arc::new(theirs)));
                }
                fresh.generation = theirs.generation;
                None
            }
            Ok(None) => Some(self.discard(&fresh.session).await),
            Err(error) => {
                tracing::warn!(%error, "the store failed while a refresh was settled; tried again");
                None
            }
        }
    }

    /// The session was ended while the refresh ran: it stays ended, and the new tokens are revoked.
    async fn discard(&self, session: &Session) -> Outcome {
        self.count("ended");
        if let Some(token) = &session.tokens.refresh
            && let Err(error) = self.provider.revoke(token.clone(), TokenKind::Refresh).await
        {
            tracing::warn!(%error, "the refresh token of an ended session was not revoked");
        }
        Outcome::Ended
    }

    /// `invalid_grant`: ends the session, unless somebody else refreshed meanwhile.
    async fn refused(&self, current: &Held, why: &str) -> Outcome {
        match self.read().await {
            Ok(Some(held)) if held.generation != current.generation => {
                self.count("reused");
                Outcome::Refreshed(Arc::new(held))
            }
            Ok(_) => {
                self.count("ended");
                tracing::info!(provider = self.provider.name(), %why, "the provider ended a session");
                self.end(&current.session).await
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// The session is kept; the next attempt comes after a pause.
    async fn failed(&self, generation: Generation, error: &ProviderError) -> Outcome {
        self.count(match error {
            ProviderError::Unavailable(_) => "unavailable",
            ProviderError::Misconfigured(_) => "misconfigured",
            ProviderError::Rejected(_) => "rejected",
        });
        let jitter = f64::from(u8::from_be_bytes(random())) / 255.0;
        let pause = self.refresher.patience().failed(self.id, self.provider.name(), self.refresher.clock.now(), jitter);
        tracing::warn!(provider = self.provider.name(), %error, pause_ms = pause.as_millis(), "a refresh failed; the session is kept");
        if let Err(error) = self.refresher.vault.store().hold_once(attempt_key(self.id, generation), pause).await {
            self.trouble(&error, "other replicas were not told of a failed refresh");
        }
        Outcome::Later
    }

    async fn end(&self, session: &Session) -> Outcome {
        if let Err(error) = self.refresher.vault.delete(&self.ticket, session).await {
            tracing::warn!(%error, "an ended session was not deleted; it is refused and tried again");
            self.refresher.patience().pause(self.id, self.refresher.clock.now());
        }
        Outcome::Ended
    }

    fn store_failed(&self, error: &StoreError) -> Outcome {
        self.count("store");
        self.trouble(error, "a refresh was put off; the session is kept");
        Outcome::Later
    }

    fn trouble(&self, error: &StoreError, what: &'static str) {
        self.refresher.note_store_failure();
        tracing::warn!(%error, "{what}");
    }

    /// Whether a record was written since the request read it, and its token is of use.
    fn is_news(&self, held: &Held) -> bool {
        held.generation != self.held.generation && self.refresher.clock.now() < held.session.tokens.access_expires
    }

    fn count(&self, outcome: &'static str) {
        self.refresher.metrics.refreshed(self.provider.name(), outcome);
    }
}

/// A session with its new tokens; what the answer left out stays (RFC 6749 §5.1, §6; OpenID Connect Core §12.2).
fn merge(mut session: Session, refreshed: Refreshed, now: crate::core::time::Timestamp) -> Session {
    session.obtained = now;
    session.tokens.access = refreshed.access;
    session.tokens.access_expires = refreshed.access_expires;
    if let Some(refresh) = refreshed.refresh {
        session.tokens.refresh = Some(refresh);
    }
    if let Some(scope) = refreshed.scope {
        session.tokens.scope = Some(scope);
    }
    if let Some(id_token) = refreshed.id_token {
        let mut claims = id_token.claims;
        // Userinfo claims from the login stay where the new ID token says nothing.
        claims.complete(session.claims);
        session.claims = claims;
        session.tokens.id_token = Some(id_token.token);
        session.tokens.id_token_expires = Some(id_token.expires);
    }
    session
}

/// One key per session and generation: after a success the next attempt is never held up by the last.
fn attempt_key(id: SessionId, generation: Generation) -> OnceKey {
    OnceKey::of(&[b"refresh attempt", &id.0, &generation.to_be_bytes()])
}

const fn describe(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Refreshed(_) => "refreshed",
        Outcome::Ended => "ended",
        Outcome::Later => "later",
    }
}
