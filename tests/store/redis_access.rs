//! Who may talk to Redis: passwords, ACL users, TLS with a private authority, client certificates.

use coatcheck::config::TlsConfig;
use coatcheck::store::redis::{ConnectError, Redis, SetupError};
use coatcheck::store::{Replaced, StoreError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bed::{LONG, RedisBed, a_once_key, a_session, a_user, an_id, an_owner, now, redis_config};
use crate::contract::{loaded, swap};
use crate::server::Server;

/// The ACL file that k8s/ ships: all the rights that the store needs, in one place.
const USERS: &str = include_str!("../../k8s/components/redis/users.acl");

#[tokio::test]
async fn a_password_is_needed_and_right() {
    let bed = RedisBed::on(Server::start_with(&["requirepass open-sesame"]).await, |config| {
        config.password = Some("open-sesame".into());
    });
    bed.store.ping().await.unwrap();
    assert!(bed.store.load(an_id()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_password_is_for_an_operator_and_is_not_printed() {
    let bed = RedisBed::on(Server::start_with(&["requirepass open-sesame"]).await, |config| {
        config.password = Some("closed-sesame".into());
    });
    let error = bed.store.load(an_id()).await.err().unwrap();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert!(!error.to_string().contains("sesame"), "{error}");
}

#[tokio::test]
async fn a_missing_password_is_for_an_operator() {
    let bed = RedisBed::on(Server::start_with(&["requirepass open-sesame"]).await, |_| {});
    let error = bed.store.load(an_id()).await.err().unwrap();
    assert!(matches!(&error, StoreError::Refused(text) if text.contains("NOAUTH")), "{error:?}");
}

#[tokio::test]
async fn an_acl_user_with_the_documented_rights_can_do_everything() {
    let bed = on_acl_server(rights()).await;
    let (id, user) = (an_id(), a_user());
    bed.store.ping().await.unwrap();
    bed.store.create(a_session(id, b"x", &[user])).await.unwrap();
    assert_eq!(loaded(&bed.store, id).await.payload, b"x");
    assert_eq!(bed.store.replace(swap(id, 1, b"y")).await.unwrap(), Replaced::Done(2));
    assert!(bed.store.touch(id, now(), LONG).await.unwrap());
    let owner = an_owner();
    assert!(bed.store.acquire_lease(id, owner, LONG).await.unwrap());
    assert!(bed.store.extend_lease(id, owner, LONG).await.unwrap());
    bed.store.release_lease(id, owner).await.unwrap();
    assert!(bed.store.claim_once(a_once_key(), LONG).await.unwrap());
    assert!(bed.store.tombstone(user).await.unwrap().is_none());
    assert_eq!(bed.store.end_all(user, now(), LONG).await.unwrap(), vec![id]);
    assert!(!bed.store.delete(id, &[user]).await.unwrap());
}

#[tokio::test]
async fn an_acl_user_without_rights_is_for_an_operator() {
    let bed = on_acl_server(&rights().replace("+get ", "")).await;
    let error = bed.store.load(an_id()).await.err().unwrap();
    assert!(matches!(&error, StoreError::Refused(text) if text.starts_with("NOPERM")), "{error:?}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn tls_with_a_private_authority_works_and_a_strange_one_is_refused() {
    let authority = Authority::new();
    let server = authority.server("no").await;
    let bed = RedisBed::on(server, |config| config.tls = Some(authority.trusted()));
    let id = an_id();
    bed.store.create(a_session(id, b"x", &[a_user()])).await.unwrap();
    assert_eq!(loaded(&bed.store, id).await.payload, b"x");

    let strange = Authority::new();
    for tls in [strange.trusted(), TlsConfig::default()] {
        let bed = RedisBed::on(authority.server("no").await, |config| config.tls = Some(tls));
        let error = bed.store.load(id).await.err().unwrap();
        assert!(matches!(&error, StoreError::Refused(text) if text.contains("certificate")), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let bed = RedisBed::on(authority.server("no").await, |config| {
        config.tls = Some(authority.trusted());
        // The certificate is for the address only.
        config.host = "localhost".to_owned();
    });
    let error = bed.store.load(an_id()).await.err().unwrap();
    assert!(matches!(&error, StoreError::Refused(text) if text.contains("certificate")), "{error:?}");
}

#[tokio::test]
async fn a_client_certificate_opens_a_server_that_asks_for_one() {
    let authority = Authority::new();
    let bed = RedisBed::on(authority.server("yes").await, |config| config.tls = Some(authority.client()));
    bed.store.ping().await.unwrap();
    let without = RedisBed::on(authority.server("yes").await, |config| config.tls = Some(authority.trusted()));
    assert!(without.store.ping().await.is_err());
}

#[tokio::test]
async fn tls_material_that_can_never_work_fails_the_start() {
    install_provider();
    let authority = Authority::new();
    let whole = authority.client();
    let wrong = [
        TlsConfig { ca: Some(b"no PEM".to_vec()), ..TlsConfig::default() },
        TlsConfig { ca: Some(Vec::new()), ..TlsConfig::default() },
        TlsConfig { key: None, ..whole.clone() },
        TlsConfig { key: authority.client().key, ..whole.clone() },
        TlsConfig { cert: None, ..whole.clone() },
        TlsConfig { key: Some("-----BEGIN NOTHING-----".into()), ..whole.clone() },
        TlsConfig { cert: Some(b"-----BEGIN CERTIFICATE-----".to_vec()), ..whole },
    ];
    for tls in wrong {
        let mut config = redis_config(&Server::stopped());
        config.tls = Some(tls);
        let error = Redis::new(&config, &TaskTracker::new(), &CancellationToken::new()).err().expect("it cannot work");
        assert!(matches!(error, SetupError::Tls(_)), "{error:?}");
    }
}

#[tokio::test]
async fn other_credentials_are_tried_before_they_are_used() {
    let bed = RedisBed::on(Server::start_with(&["requirepass open-sesame"]).await, |config| {
        config.password = Some("open-sesame".into());
    });
    bed.store.ping().await.unwrap();
    let mut config = redis_config(&bed.server);
    config.password = Some("closed-sesame".into());
    let error = bed.redis.connect(&config).await.err().expect("a wrong password");
    assert!(matches!(error, ConnectError::Store(StoreError::Refused(_))), "{error:?}");
    assert!(!error.to_string().contains("sesame"), "{error}");
    config.tls = Some(TlsConfig { ca: Some(b"no PEM".to_vec()), ..TlsConfig::default() });
    let error = bed.redis.connect(&config).await.err().expect("no authority");
    assert!(matches!(error, ConnectError::Setup(SetupError::Tls(_))), "{error:?}");
    bed.store.ping().await.unwrap();
}

#[tokio::test]
async fn another_server_with_another_authority_takes_over() {
    let (first, second) = (Authority::new(), Authority::new());
    let bed = RedisBed::on(first.server("no").await, |config| config.tls = Some(first.trusted()));
    bed.store.create(a_session(an_id(), b"x", &[])).await.unwrap();
    let server = second.server("yes").await;
    let mut config = redis_config(&server);
    for tls in [first.client(), second.trusted()] {
        config.tls = Some(tls);
        assert!(bed.redis.connect(&config).await.is_err(), "a strange authority; no certificate of ours");
    }
    config.tls = Some(second.client());
    let lanes = bed.redis.connect(&config).await.unwrap();
    bed.redis.adopt(lanes);
    let id = an_id();
    bed.store.create(a_session(id, b"y", &[a_user()])).await.unwrap();
    assert_eq!(loaded(&bed.store, id).await.payload, b"y");
    drop(bed.server);
    assert_eq!(loaded(&bed.store, id).await.payload, b"y", "the first server is not needed any more");
}

async fn on_acl_server(rights: &str) -> RedisBed {
    let server = Server::start().await;
    let () = server.ask(&format!("ACL SETUSER coat on >s3cret {rights}")).await;
    RedisBed::on(server, |config| {
        config.username = Some("coat".to_owned());
        config.password = Some("s3cret".into());
        "coatcheck:".clone_into(&mut config.prefix);
    })
}

/// What stands behind the password in the shipped line of the user.
fn rights() -> &'static str {
    USERS.lines().find_map(|line| line.strip_prefix("user coatcheck on #PASSWORD_SHA256 ")).expect("the shipped user")
}

fn install_provider() {
    // An error means that another test was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A certificate authority of this test alone.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        install_provider();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, files: tempfile::tempdir().unwrap() }
    }

    /// A server for 127.0.0.1; `clients`: whether clients need a certificate, `yes` or `no`.
    async fn server(&self, clients: &str) -> Server {
        let (cert, key) = self.signed("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
        let file = |name: &str, text: &str| {
            let path = self.files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let settings = [
            format!("tls-cert-file {}", file("cert", &cert)),
            format!("tls-key-file {}", file("key", &key)),
            format!("tls-ca-cert-file {}", file("ca", &self.issuer.pem())),
            format!("tls-auth-clients {clients}"),
        ];
        Server::start_tls(&settings.each_ref().map(String::as_str)).await
    }

    fn trusted(&self) -> TlsConfig {
        TlsConfig { ca: Some(self.issuer.pem().into_bytes()), ..TlsConfig::default() }
    }

    fn client(&self) -> TlsConfig {
        let (cert, key) = self.signed("coatcheck", ExtendedKeyUsagePurpose::ClientAuth);
        TlsConfig { cert: Some(cert.into_bytes()), key: Some(key.into()), ..self.trusted() }
    }

    fn signed(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // Not the authority's own name, or OpenSSL takes the certificate for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
