//! Revokes tokens beside an answer. A revocation that fails is told and not tried again: whoever signed out, or was
//! not signed in, does not wait for the provider.

use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::{SharedProvider, TokenKind};

/// Revokes an app's tokens in the given order, in a task that `tasks` owns.
pub(crate) fn revoke_beside(
    tasks: &TaskTracker,
    provider: &SharedProvider,
    app: &Arc<str>,
    tokens: Vec<(SecretString, TokenKind)>,
) {
    let (provider, app) = (Arc::clone(provider), Arc::clone(app));
    let revoke = async move {
        for (token, kind) in tokens {
            if let Err(error) = provider.revoke(token, kind).await {
                tracing::warn!(record.app = %app, token.kind = ?kind, %error, "a token could not be revoked");
            }
        }
    };
    tasks.spawn(revoke.in_current_span());
}
