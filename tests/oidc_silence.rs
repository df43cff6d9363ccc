//! What is logged and traced while the provider client works: never a secret, at any level (behaviour 45).
//! A binary of its own, because tests in other threads would disturb what the subscriber gets to see.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]
#![expect(dead_code, reason = "the hostile provider can do more than this test needs")]

#[path = "oidc/hostile.rs"]
mod hostile;
#[path = "oidc/signer.rs"]
mod signer;
#[path = "oidc/support.rs"]
mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use coatcheck::oidc::{Provider as _, TokenKind};
use serde_json::json;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::hostile::{Hostile, REVOCATION, Reply, TOKEN, USERINFO};
use crate::signer::Signer;
use crate::support::{ACCESS, NONCE, SECRET, VERIFIER, claims, config, offer, relying};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let (signer, stranger) = (Signer::ec("k1"), Signer::ec("stranger"));
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    provider.on(USERINFO, Reply::Json(200, json!({ "sub": "u-1", "name": "Ann Canary" })));
    provider.on(REVOCATION, Reply::Json(200, json!({})));
    offer(&provider, &signer, &claims(&provider.issuer));
    relying.redeem(true).await.unwrap();
    relying.refresh().await.unwrap();
    offer(&provider, &stranger, &claims(&provider.issuer));
    relying.refresh().await.expect("the ID token is left out");
    relying.login().await.unwrap_err();
    relying.client.revoke("rt-1".into(), TokenKind::Refresh).await.unwrap();
    provider.on(TOKEN, Reply::Json(400, json!({ "error": "invalid_grant", "error_description": "rt-1 the-code" })));
    relying.refresh().await.unwrap_err();
    provider.on(TOKEN, Reply::Truncated(format!("{{\"access_token\":\"{ACCESS}\",\"refresh_token\":\"rt-2\"")));
    relying.refresh().await.unwrap_err();

    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    for endpoint in ["discovery", "jwks", "token", "userinfo", "revocation"] {
        assert!(log.contains(&format!("endpoint=\"{endpoint}\"")), "{endpoint} is traced");
    }
    assert!(log.contains("http.response.status_code=200") && log.contains("http.response.status_code=400"));
    assert!(log.contains("the old one is kept"));
    let basic = "Basic c2hvcDp0aGUtY2xpZW50LXNlY3JldA";
    let canaries =
        ["the-code", "rt-1", "rt-2", "eyJ", "a@example.com", "Ann Canary", ACCESS, NONCE, SECRET, VERIFIER, basic];
    for canary in canaries {
        let line = log.lines().find(|line| line.contains(canary));
        assert_eq!(line, None, "{canary}");
    }
}
