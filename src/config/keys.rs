//! Server keys as text and as a file: 32 bytes, base64url without padding. Never prints one, but for [`generate`].

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::zeroize::Zeroizing;

use super::source;
use crate::clock::random;
use crate::core::keyring::{KeyId, Keyring, ServerKey};

/// The id of the key that the embedded store makes for itself.
const EMBEDDED_KEY: KeyId = KeyId(1);

/// Why the embedded store's own key cannot be used. Nothing is started without it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file, or its directory, cannot be read or written.
    #[error("the key file {path} cannot be used: {error}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody else may have read the key.
    #[error("the key file {path} is readable by others (mode {mode:o}): run `chmod 600` on it, or replace the key")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("the key file {path} does not hold a key: {reason}")]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong, without the content.
        reason: String,
    },
}

/// A new key as text.
#[must_use]
pub fn generate() -> Zeroizing<String> {
    let secret = Zeroizing::new(random::<32>());
    Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(secret.as_slice()))
}

/// Reads a key as [`generate`] writes it. The error does not repeat it.
pub(super) fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, String> {
    let wrong = || "is not a key: 32 bytes in base64url, as `coatcheck keygen` prints them".to_owned();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| wrong())?;
    <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| wrong())
}

/// The embedded store's own key: `<store>.key`, made (mode 0600) when absent. Two processes that start at once
/// get the same one.
pub fn embedded_key(store: &Path) -> Result<Keyring, KeyFileError> {
    let path = key_path(store);
    let io = |error| KeyFileError::Io { path: path.clone(), error };
    if !path.try_exists().map_err(io)? {
        create(&path).map_err(io)?;
    }
    let mode = path.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path, mode });
    }
    let text = Zeroizing::new(source::read(&path).map_err(io)?);
    let malformed = |reason| KeyFileError::Malformed { path: path.clone(), reason };
    let secret = decode(&text).map_err(malformed)?;
    Keyring::new(vec![ServerKey::new(EMBEDDED_KEY, *secret)]).ok_or_else(|| malformed("no key".to_owned()))
}

/// Where the embedded store's own key is: beside its file.
#[must_use]
pub fn key_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// Written in full under another name first, then linked: nobody ever sees half a key, and a key that is there
/// already (another process was faster) stays.
fn create(path: &Path) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", BASE64_URL_SAFE_NO_PAD.encode(random::<9>())));
    let draft = PathBuf::from(draft);
    let linked = write(&draft).and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    });
    let removed = std::fs::remove_file(&draft);
    linked.and(removed)?;
    // The name must survive a power cut, or the sessions sealed with the key would not.
    path.parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn write(draft: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    // A umask can only take bits away from 0600; set it in full.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(generate().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
