//! The part of a login that nobody may cut short: a code is redeemed, the session stored, the one that it replaces ended.
//!
//! It runs in a task of its own, because the request may end at any moment: the browser goes, Envoy's timeout is over. If
//! nobody is there any more to be given the ticket, the login is undone: neither a session that nobody holds nor
//! tokens that nobody uses stay behind, and the browser keeps the session that it has. So the one that a login replaces is
//! ended last, moments after the new ticket is out: a store that fails or hangs there costs nobody both.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::Refusal;
use crate::clock::SharedClock;
use crate::core::app::App;
use crate::core::session::{Binding, Session, Tokens};
use crate::core::ticket::Ticket;
use crate::core::time::Timestamp;
use crate::oidc::revocation::revoke_beside;
use crate::oidc::{Authenticated, Redemption, SharedProvider, TokenKind};
use crate::store::vault::{Vault, id_of};
use crate::store::{SessionId, StoreError};
use crate::telemetry::metrics::Metrics;

/// A login whose code is about to be redeemed, with all that it takes.
pub(super) struct Redeeming {
    pub(super) app: Arc<App>,
    pub(super) provider: SharedProvider,
    pub(super) redemption: Redemption,
    /// When the login began.
    pub(super) began: Timestamp,
    pub(super) binding: Binding,
    pub(super) client_hint: String,
    /// What the browser shows now.
    pub(super) shown: Option<Ticket>,
    /// The session that it had when the login began.
    pub(super) previous: Option<SessionId>,
    pub(super) vault: Arc<Vault>,
    pub(super) clock: SharedClock,
    pub(super) metrics: Metrics,
    pub(super) tasks: TaskTracker,
}

impl Redeeming {
    /// Signs in, hands out the ticket and retires the old session; or takes everything back.
    pub(super) async fn run(self, tell: oneshot::Sender<Result<Ticket, Refusal>>) {
        let (ticket, session) = match self.sign_in().await {
            Ok(made) => made,
            Err(why) => {
                // Whoever left does not need to know.
                let _ = tell.send(Err(why));
                return;
            }
        };
        match tell.send(Ok(ticket)) {
            // Taken. The old session is ended here, whatever becomes of the request.
            Ok(()) => self.retire().await,
            Err(Ok(ticket)) => self.undo(&ticket, session).await,
            // Only what was sent comes back.
            Err(Err(_)) => {}
        }
    }

    async fn sign_in(&self) -> Result<(Ticket, Session), Refusal> {
        let who = self.provider.redeem(self.redemption.clone()).await.map_err(Refusal::Provider)?;
        let session = self.session(who);
        let why = match self.vault.create(&session, self.app.session.idle, self.began).await {
            Ok(Some(ticket)) => return Ok((ticket, session)),
            Ok(None) => Refusal::Ended,
            Err(error) => Refusal::Lost(error),
        };
        self.discard(session);
        Err(why)
    }

    fn session(&self, who: Authenticated) -> Session {
        let now = self.clock.now();
        Session {
            app: Arc::clone(&self.app.name),
            provider: Arc::clone(&self.app.provider),
            identity: who.identity,
            tokens: who.tokens,
            claims: who.claims,
            created: now,
            obtained: now,
            expires: now + self.app.session.absolute,
            binding: self.binding.clone(),
            auth_time: who.auth_time,
            client_hint: self.client_hint.clone(),
        }
    }

    /// Takes a login back whose ticket nobody got.
    async fn undo(&self, ticket: &Ticket, session: Session) {
        let (app, tag) = (&self.app.name, id_of(ticket).tag());
        self.metrics.login(app, "abandoned");
        if let Err(error) = self.vault.delete(ticket, &session).await {
            tracing::warn!(record.app = %app, session.tag = %tag, %error, "a login that nobody waited for could not be undone");
        } else {
            tracing::info!(record.app = %app, session.tag = %tag, "nobody waited for a login to finish; it is undone");
        }
        self.discard(session);
    }

    /// Tokens that no session holds would live on at the provider: the refresh token is revoked, whose access tokens
    /// end with it, else the access token.
    fn discard(&self, session: Session) {
        let Tokens { refresh, access, .. } = session.tokens;
        let token = refresh.map_or((access, TokenKind::Access), |refresh| (refresh, TokenKind::Refresh));
        revoke_beside(&self.tasks, &self.provider, &session.app, vec![token]);
    }

    /// Deletes what the new session replaces: the session that this browser had when the login began, and the
    /// one it shows now. The login stands even where that fails: the browser drops the old ticket when the new cookie
    /// arrives, and the idle lifetime ends the old session.
    async fn retire(&self) {
        let replaced = self.shown.as_ref().map(id_of);
        if let Some(ticket) = &self.shown {
            self.warn_unless_gone(self.delete(ticket).await);
        }
        if let Some(id) = self.previous.filter(|id| Some(*id) != replaced) {
            self.warn_unless_gone(self.vault.delete_id(id).await);
        }
    }

    async fn delete(&self, ticket: &Ticket) -> Result<bool, StoreError> {
        match self.vault.open(ticket, &self.app.name).await? {
            Some(held) => self.vault.delete(ticket, &held.session).await,
            None => self.vault.delete_id(id_of(ticket)).await,
        }
    }

    fn warn_unless_gone(&self, deleted: Result<bool, StoreError>) {
        if let Err(error) = deleted {
            tracing::warn!(record.app = %self.app.name, %error, "the session that a login replaced could not be deleted");
        }
    }
}
