//! A store and a provider that are up or down at will. What they would do when up does not matter here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use coatcheck::core::time::Timestamp;
use coatcheck::oidc::{
    Authenticated, AuthorizeRequest, EndSession, Provider, ProviderError, Redemption, RefreshError, RefreshRequest,
    Refreshed, TokenKind,
};
use coatcheck::store::{
    IndexKey, LeaseOwner, NewSession, OnceKey, Replaced, SessionId, SessionStore, StoreError, Stored, Swap,
};
use secrecy::SecretString;

/// The switch of a fake.
#[derive(Clone, Default)]
pub(crate) struct Switch(Arc<AtomicBool>);

impl Switch {
    pub(crate) fn turn(&self, up: bool) {
        self.0.store(up, Ordering::SeqCst);
    }

    fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct FakeStore(pub(crate) Switch);

impl FakeStore {
    fn answer<T>(&self, answer: T) -> Result<T, StoreError> {
        if self.0.is_up() { Ok(answer) } else { Err(StoreError::Unavailable("connection refused".to_owned())) }
    }
}

#[async_trait]
impl SessionStore for FakeStore {
    async fn load(&self, _: SessionId) -> Result<Option<Stored>, StoreError> {
        self.answer(None)
    }

    async fn create(&self, _: NewSession) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn replace(&self, _: Swap) -> Result<Replaced, StoreError> {
        self.answer(Replaced::Gone)
    }

    async fn touch(&self, _: SessionId, _: Timestamp, _: Duration) -> Result<bool, StoreError> {
        self.answer(false)
    }

    async fn delete(&self, _: SessionId, _: &[IndexKey]) -> Result<bool, StoreError> {
        self.answer(false)
    }

    async fn end_all(&self, _: IndexKey, _: Timestamp, _: Duration) -> Result<Vec<SessionId>, StoreError> {
        self.answer(Vec::new())
    }

    async fn tombstone(&self, _: IndexKey) -> Result<Option<Timestamp>, StoreError> {
        self.answer(None)
    }

    async fn claim_once(&self, _: OnceKey, _: Duration) -> Result<bool, StoreError> {
        self.answer(true)
    }

    async fn hold_once(&self, _: OnceKey, _: Duration) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn acquire_lease(&self, _: SessionId, _: LeaseOwner, _: Duration) -> Result<bool, StoreError> {
        self.answer(true)
    }

    async fn extend_lease(&self, _: SessionId, _: LeaseOwner, _: Duration) -> Result<bool, StoreError> {
        self.answer(true)
    }

    async fn release_lease(&self, _: SessionId, _: LeaseOwner) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.answer(())
    }

    fn kind(&self) -> &'static str {
        "redis"
    }
}

pub(crate) struct FakeProvider {
    name: &'static str,
    switch: Switch,
}

impl FakeProvider {
    pub(crate) fn named(name: &'static str, switch: Switch) -> Self {
        Self { name, switch }
    }
}

fn refused() -> ProviderError {
    ProviderError::Unavailable("discovery: connection refused".to_owned())
}

#[async_trait]
impl Provider for FakeProvider {
    fn name(&self) -> &'static str {
        self.name
    }

    fn issuer(&self) -> &'static str {
        "https://id.example.com"
    }

    async fn authorize(&self, _: AuthorizeRequest) -> Result<String, ProviderError> {
        Err(refused())
    }

    async fn sends_issuer(&self) -> Result<bool, ProviderError> {
        Err(refused())
    }

    async fn redeem(&self, _: Redemption) -> Result<Authenticated, ProviderError> {
        Err(refused())
    }

    async fn refresh(&self, _: RefreshRequest) -> Result<Refreshed, RefreshError> {
        Err(RefreshError::Transient { error: refused(), reached: false })
    }

    async fn revoke(&self, _: SecretString, _: TokenKind) -> Result<(), ProviderError> {
        Err(refused())
    }

    async fn end_session(&self, _: EndSession) -> Result<Option<String>, ProviderError> {
        Err(refused())
    }

    async fn ready(&self) -> Result<(), ProviderError> {
        if self.switch.is_up() { Ok(()) } else { Err(refused()) }
    }
}
