//! TLS: a private root is trusted where it is configured, nowhere else; unusable roots fail the start.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use coatcheck::clock::SystemClock;
use coatcheck::config::ProviderConfig;
use coatcheck::oidc::client::OidcClient;
use coatcheck::oidc::{Provider as _, ProviderError};
use coatcheck::telemetry::metrics::Metrics;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::json;

use crate::support::config;

/// Serves a discovery document over TLS to `connections` callers. Returns its issuer and root.
fn serve(connections: usize) -> (String, Vec<u8>) {
    let root_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap())
        .unwrap();
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let document = json!({
        "issuer": name, "authorization_endpoint": format!("{name}/a"), "token_endpoint": format!("{name}/t"),
        "jwks_uri": format!("{name}/k"),
    })
    .to_string();
    std::thread::spawn(move || {
        for _ in 0..connections {
            let (mut socket, _) = listener.accept().unwrap();
            let mut connection = ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut stream = Stream::new(&mut connection, &mut socket);
            // A caller that does not trust us ends the handshake: then there is nothing to answer.
            if stream.read(&mut [0; 4096]).is_ok() {
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", document.len());
                let _ = stream.write_all(format!("{head}{document}").as_bytes());
            }
        }
    });
    (name, root.pem().into_bytes())
}

#[tokio::test]
async fn a_private_root_is_trusted_where_it_is_configured() {
    let (issuer, root) = serve(2);
    let mut config = config(&issuer);
    config.timeout = std::time::Duration::from_secs(5);
    let client = |config: &ProviderConfig| OidcClient::new(config, Arc::new(SystemClock), Metrics::new()).unwrap();
    let outcome = client(&config).ready().await;
    assert!(matches!(&outcome, Err(ProviderError::Unavailable(text)) if text.contains("connect")), "{outcome:?}");
    config.ca = Some(root);
    client(&config).ready().await.unwrap();
}

#[test]
fn unusable_roots_fail_the_start() {
    for pem in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let mut config = config("https://id.example.com");
        config.ca = Some(pem.as_bytes().to_vec());
        let outcome = OidcClient::new(&config, Arc::new(SystemClock), Metrics::new());
        let error = outcome.expect_err(pem).to_string();
        assert!(error.contains("main") && error.contains("CA"), "{error}");
    }
}
