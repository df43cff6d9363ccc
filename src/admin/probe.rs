//! Keeps [`Readiness`] true: asks the store and the providers, each at its own pace, for as long as the process runs.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::readiness::{Part, Readiness};
use crate::oidc::SharedProvider;
use crate::store::SharedStore;

/// Between two probes of a part that has not been reached yet.
const EAGER: Duration = Duration::from_secs(1);

/// Between two probes of a part that has.
const STEADY: Duration = Duration::from_secs(5);

/// The ports promise deadlines of their own; this one only guards against a promise not kept.
const LIMIT: Duration = Duration::from_secs(30);

/// The parts that readiness is about.
#[must_use]
pub fn parts(providers: &[SharedProvider]) -> Vec<Part> {
    let providers = providers.iter().map(|provider| Part::Provider(provider.name().to_owned()));
    std::iter::once(Part::Store).chain(providers).collect()
}

/// Probes for ever, from each change of the providers on the new ones; to be run as one task of the app.
pub async fn watch(readiness: Readiness, store: SharedStore, mut providers: watch::Receiver<Vec<SharedProvider>>) {
    loop {
        let asked = providers.borrow_and_update().iter().cloned().map(Peer::Provider).collect::<Vec<_>>();
        let peers = std::iter::once(Peer::Store(store.clone())).chain(asked);
        let asking = join_all(peers.map(|peer| keep_asking(&readiness, peer)));
        tokio::select! {
            _ = asking => {}
            Ok(()) = providers.changed() => {}
        }
    }
}

enum Peer {
    Store(SharedStore),
    Provider(SharedProvider),
}

impl Peer {
    fn part(&self) -> Part {
        match self {
            Self::Store(_) => Part::Store,
            Self::Provider(provider) => Part::Provider(provider.name().to_owned()),
        }
    }

    async fn ask(&self) -> Result<(), String> {
        match self {
            Self::Store(store) => store.ping().await.map_err(|error| error.to_string()),
            Self::Provider(provider) => provider.ready().await.map_err(|error| error.to_string()),
        }
    }
}

async fn keep_asking(readiness: &Readiness, peer: Peer) {
    let part = peer.part();
    let mut pace = EAGER;
    loop {
        let outcome = match tokio::time::timeout(LIMIT, peer.ask()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        };
        if outcome.is_ok() {
            pace = STEADY;
        }
        readiness.report(&part, &outcome);
        tokio::time::sleep(jittered(pace)).await;
    }
}

/// 80 to 120 % of `pace`, so that replicas that started together do not ask together.
fn jittered(pace: Duration) -> Duration {
    let [byte] = crate::clock::random();
    pace.mul_f64(0.8 + 0.4 * f64::from(byte) / 255.0)
}
