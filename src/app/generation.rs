//! Everything that is built out of one configuration. A reload builds the next one and swaps them; what is under way
//! ends with the one it began with.

use std::sync::Arc;

use crate::check::{self, Checker};
use crate::config::{self, Config, ProviderConfig, StoreConfig};
use crate::core::app::Apps;
use crate::core::keyring::Keyring;
use crate::http::Web;
use crate::login::Login;
use crate::logout::Logout;
use crate::oidc::client::OidcClient;
use crate::oidc::{Providers, SharedProvider};
use crate::refresh::{self, Refresher};
use crate::store::SharedStore;
use crate::store::vault::Vault;

use super::process::Process;

/// What one configuration became.
pub(super) struct Generation {
    pub(super) config: Config,
    /// In the order of the configuration.
    pub(super) providers: Vec<SharedProvider>,
    pub(super) web: Arc<Web>,
    apps: Arc<Apps>,
    vault: Arc<Vault>,
    refresher: Arc<Refresher>,
}

impl Generation {
    /// Builds all parts over the process's store. Nothing is sent to anybody, and nothing changes for requests. A
    /// provider that `former` has with the same settings keeps its client, and what that knows of it.
    pub(super) fn build(config: Config, process: &Process, former: Option<&Self>) -> anyhow::Result<Self> {
        let (clock, metrics, tracker) = (&process.clock, &process.metrics, &process.tracker);
        let keyring = keyring(&config, former)?;
        let vault = Arc::new(Vault::new(Arc::clone(&process.store), keyring, Arc::clone(clock), metrics.clone()));
        let providers = connect(&config, process, former)?;
        let by_name = Providers::new(providers.clone());
        let refresher = Refresher::new(refresh::Parts {
            vault: Arc::clone(&vault),
            providers: by_name.clone(),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            tracker: tracker.clone(),
            runtime: process.runtime.clone(),
            tracing: process.tracing.clone(),
            memory: process.refreshes.clone(),
        });
        let login =
            Login::new(Arc::clone(&vault), by_name.clone(), Arc::clone(clock), metrics.clone(), tracker.clone());
        let web = Web {
            apps: config.apps.clone(),
            login,
            logout: Logout::new(Arc::clone(&vault), by_name, metrics.clone(), tracker.clone()),
            vault: Arc::clone(&vault),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            tracing: process.tracing.clone(),
        };
        let apps = Arc::new(config.apps.clone());
        Ok(Self { config, providers, web: Arc::new(web), apps, vault, refresher })
    }

    /// The names of providers that `former` has not, or has with other settings.
    pub(super) fn changed_providers(&self, former: &Self) -> Vec<String> {
        let changed = self.config.providers.iter().filter(|config| former.provider(config).is_none());
        changed.map(|config| config.name.clone()).collect()
    }

    /// The client of a provider with exactly these settings.
    fn provider(&self, config: &ProviderConfig) -> Option<&SharedProvider> {
        let (_, provider) = self.config.providers.iter().zip(&self.providers).find(|(known, _)| *known == config)?;
        Some(provider)
    }

    /// The checker of one thread, which reads sessions through `store`. All writing stays with the process's one store.
    pub(super) fn checker(&self, process: &Process, store: &SharedStore) -> Arc<Checker> {
        Arc::new(Checker::new(check::Parts {
            apps: Arc::clone(&self.apps),
            vault: Arc::new(self.vault.over(Arc::clone(store))),
            refresher: Arc::clone(&self.refresher),
            clock: Arc::clone(&process.clock),
            metrics: process.metrics.clone(),
            touched: Arc::clone(&process.store),
            tracker: process.tracker.clone(),
            runtime: process.runtime.clone(),
        }))
    }
}

/// Where none is configured, the embedded store's own; once it was read it stays, whatever becomes of its file.
fn keyring(config: &Config, former: Option<&Generation>) -> anyhow::Result<Keyring> {
    match (&config.keys, &config.store) {
        (Some(keyring), _) => Ok(keyring.clone()),
        (None, StoreConfig::Embedded { path }) => match former.filter(|former| former.config.keys.is_none()) {
            Some(former) => Ok(former.vault.keyring().clone()),
            None => Ok(config::embedded_key(path)?),
        },
        (None, StoreConfig::Redis(_)) => anyhow::bail!("keys: a shared store needs at least one server key"),
    }
}

fn connect(config: &Config, process: &Process, former: Option<&Generation>) -> anyhow::Result<Vec<SharedProvider>> {
    let connect = |provider| {
        if let Some(kept) = former.and_then(|former| former.provider(provider)) {
            return Ok(Arc::clone(kept));
        }
        let client = OidcClient::new(provider, Arc::clone(&process.clock), process.metrics.clone())?;
        Ok(Arc::new(client) as SharedProvider)
    };
    config.providers.iter().map(connect).collect()
}
