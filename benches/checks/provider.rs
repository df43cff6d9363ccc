//! A provider that answers at once, on a thread of its own: discovery and token endpoint, just enough for a refresh.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// Runs until the process ends.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    refreshes: Arc<AtomicU64>,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let issuer = format!("http://{address}");
        let refreshes = Arc::new(AtomicU64::new(0));
        let router = routes(&issuer, &refreshes);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { issuer, refreshes }
    }

    /// Token requests so far.
    pub(crate) fn refreshes(&self) -> u64 {
        self.refreshes.load(Ordering::Relaxed)
    }
}

fn routes(issuer: &str, refreshes: &Arc<AtomicU64>) -> Router {
    let metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    });
    let keys = json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench",
        // The example key of RFC 7517 appendix A.1: nothing is ever signed with it here.
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    }]});
    let refreshes = Arc::clone(refreshes);
    let token = move || {
        let number = refreshes.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Json(answer(number)))
    };
    Router::new()
        .route("/.well-known/openid-configuration", get(move || std::future::ready(Json(metadata))))
        .route("/jwks", get(move || std::future::ready(Json(keys))))
        .route("/token", post(token))
}

fn answer(number: u64) -> Value {
    json!({
        "access_token": crate::sessions::token(1_700),
        "refresh_token": format!("rotated-{number}"),
        "token_type": "Bearer",
        "expires_in": 3600,
    })
}
