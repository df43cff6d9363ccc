//! The secrets of a stack: a client secret and a server key, fresh for each test, so that finding one anywhere tells
//! which test leaked it.

use tempfile::TempDir;

use super::stack::random;

/// The secrets of one stack, in files as an operator has them.
pub struct Secrets {
    pub client: String,
    pub server_key: String,
    pub files: TempDir,
}

impl Secrets {
    /// Fresh ones; the client secret may be given.
    pub fn new(client: Option<String>) -> Self {
        let files = TempDir::new().unwrap();
        let client = client.unwrap_or_else(|| format!("client-{}", random()));
        let server_key = random();
        std::fs::write(files.path().join("client"), format!("{client}\n")).unwrap();
        std::fs::write(files.path().join("key-1"), format!("{server_key}\n")).unwrap();
        Self { client, server_key, files }
    }
}
