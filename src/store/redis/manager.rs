//! Makes connections for the pool. Checking one out costs the read of a flag, never a round trip.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{ErrorSink, ManageConnection};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, TlsCertificates,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::Link;
use super::outage::Outage;
use crate::config::{RedisConfig, TlsConfig};

/// Commands that may wait for the socket of one connection before callers wait themselves.
const PIPELINE: usize = 1024;

/// The first probe on a silent connection; the heartbeat is faster, this one is for the kernel's sake.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// What we sent and nobody acknowledged for this long ends the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why no client can be made from the configuration. The server has not been asked.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The TLS material cannot be used. The text holds no key.
    #[error("TLS towards Redis: {0}")]
    Tls(String),
    /// An address or a setting that the client does not take.
    #[error("Redis settings: {0}")]
    Settings(String),
}

/// Connects for one pool.
pub(super) struct Manager {
    client: Client,
    config: AsyncConnectionConfig,
    connect_timeout: Duration,
    outage: Arc<Outage>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Manager {
    pub(super) fn new(
        config: &RedisConfig,
        outage: Arc<Outage>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, SetupError> {
        let connection = AsyncConnectionConfig::new()
            .set_response_timeout(Some(config.response_timeout))
            .set_connection_timeout(Some(config.connect_timeout))
            .set_pipeline_buffer_size(PIPELINE);
        Ok(Self {
            client: client(config)?,
            config: connection,
            connect_timeout: config.connect_timeout,
            outage,
            tasks,
            stop,
        })
    }

    async fn open(&self) -> Result<Link, RedisError> {
        // Bounds name lookup, TLS and authentication together.
        match tokio::time::timeout(self.connect_timeout, Link::open(&self.client, self.config.clone())).await {
            Ok(link) => link,
            Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }
}

impl ManageConnection for Manager {
    type Connection = Link;
    type Error = Trouble;

    async fn connect(&self) -> Result<Link, Trouble> {
        match self.open().await {
            Ok(link) => {
                self.outage.over();
                self.tasks.spawn(link.heartbeat(self.stop.clone()));
                Ok(link)
            }
            Err(error) => {
                self.outage.failed(&error);
                Err(Trouble::Unreachable)
            }
        }
    }

    async fn is_valid(&self, link: &mut Link) -> Result<(), Trouble> {
        if link.health.is_broken() { Err(Trouble::Broken) } else { Ok(()) }
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        link.health.is_broken()
    }
}

/// The pool needs to know that, not why: callers ask [`Outage`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// A connection in the pool is of no use any more.
    Broken,
    /// No connection could be made.
    Unreachable,
}

/// Wakes those who wait for a connection that did not come. The pool reports a failed attempt here after it
/// has booked it: whoever is woken and asks again causes a new attempt.
#[derive(Debug, Clone)]
pub(super) struct Report(pub(super) Arc<Outage>);

impl ErrorSink<Trouble> for Report {
    fn sink(&self, trouble: Trouble) {
        match trouble {
            Trouble::Broken => {}
            Trouble::Unreachable => self.0.announce(),
        }
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<Trouble>> {
        Box::new(self.clone())
    }
}

fn client(config: &RedisConfig) -> Result<Client, SetupError> {
    let settings = |error: &RedisError| SetupError::Settings(error.to_string());
    let info = connection_info(config).map_err(|error| settings(&error))?;
    match &config.tls {
        None => Client::open(info).map_err(|error| settings(&error)),
        Some(tls) => {
            let certificates = certificates(tls)?;
            Client::build_with_tls(info, certificates).map_err(|error| SetupError::Tls(error.to_string()))
        }
    }
}

fn connection_info(config: &RedisConfig) -> Result<ConnectionInfo, RedisError> {
    let (host, port) = (config.host.clone(), config.port);
    let address = match config.tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    };
    // RESP3 for the push that tells of a lost connection. No `CLIENT SETINFO`: one right less to grant.
    let mut redis = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(config.database)
        .set_skip_set_lib_name();
    if let Some(username) = &config.username {
        redis = redis.set_username(username);
    }
    if let Some(password) = &config.password {
        redis = redis.set_password(password.expose_secret());
    }
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))
        .set_user_timeout(USER_TIMEOUT);
    Ok(address.into_connection_info()?.set_redis_settings(redis).set_tcp_settings(tcp))
}

fn certificates(tls: &TlsConfig) -> Result<TlsCertificates, SetupError> {
    let Some(cryptography) = CryptoProvider::get_default() else {
        return Err(SetupError::Tls("no cryptography provider is installed".to_owned()));
    };
    if let Some(ca) = &tls.ca {
        at_least_one_certificate(ca, "ca_file")?;
    }
    let client_tls = match (&tls.cert, &tls.key) {
        (None, None) => None,
        (Some(cert), Some(key)) => {
            at_least_one_certificate(cert, "cert_file")?;
            belong_together(cert, key.expose_secret().as_bytes(), cryptography)?;
            Some(ClientTlsConfig { client_cert: cert.clone(), client_key: key.expose_secret().as_bytes().to_vec() })
        }
        (Some(_), None) => return Err(SetupError::Tls("a certificate needs its key".to_owned())),
        (None, Some(_)) => return Err(SetupError::Tls("a key needs its certificate".to_owned())),
    };
    Ok(TlsCertificates { client_tls, root_cert: tls.ca.clone() })
}

/// An empty list of roots would trust nobody, and say so only at the first connection.
fn at_least_one_certificate(pem: &[u8], what: &str) -> Result<(), SetupError> {
    match CertificateDer::pem_slice_iter(pem).next() {
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => Err(SetupError::Tls(format!("{what} holds no certificate in PEM"))),
    }
}

/// Half of a rotation would show only at the first connection, and without its reason.
fn belong_together(cert: &[u8], key: &[u8], cryptography: &CryptoProvider) -> Result<(), SetupError> {
    let unusable = |_| SetupError::Tls("cert_file and key_file cannot be used".to_owned());
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(unusable)?;
    match CertifiedKey::from_der(chain, key, cryptography) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(SetupError::Tls("the key of key_file is not the one of the certificate of cert_file".to_owned()))
        }
        Err(error) => Err(SetupError::Tls(error.to_string())),
    }
}
