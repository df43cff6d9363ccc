//! Certificates of one test: an authority, a server for loopback and for the shop, a client. And requests over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// The files, as an operator has them.
pub struct Certificates {
    files: TempDir,
}

impl Certificates {
    /// Makes all of them.
    pub fn generate() -> Self {
        let files = TempDir::new().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // A name of its own: a certificate whose issuer has its own name counts as self-signed.
        authority.distinguished_name.push(DnType::CommonName, "test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(files.path().join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        for name in ["server", "client"] {
            issue(files.path(), name, &issuer);
        }
        Self { files }
    }

    /// The path of one: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub fn path(&self, name: &str) -> String {
        self.files.path().join(name).to_str().expect("a path").to_owned()
    }

    /// A client that trusts the authority and nobody else.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(builder.expect("versions").with_root_certificates(roots).with_no_client_auth())
    }
}

/// Sends raw bytes that ask for the connection to be closed, and returns all that comes back.
pub async fn exchange(
    address: SocketAddr,
    name: &str,
    trust: Arc<ClientConfig>,
    bytes: Vec<u8>,
) -> std::io::Result<Vec<u8>> {
    let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
    let exchanged = tokio::task::spawn_blocking(move || {
        let connection = ClientConnection::new(trust, name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
        stream.write_all(&bytes)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    });
    exchanged.await.map_err(std::io::Error::other)?
}

fn issue(directory: &Path, name: &str, issuer: &Issuer<'_, KeyPair>) {
    let names = ["localhost", "127.0.0.1", super::stack::host(super::stack::SHOP)].map(str::to_owned).to_vec();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, issuer).unwrap();
    std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}
