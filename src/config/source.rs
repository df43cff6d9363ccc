//! Where a configuration comes from: its files and the environment. The only place that reads either.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;

/// No file of ours comes near this size (1 MiB); a device or a pipe would never end.
const MAX_FILE: u64 = 1 << 20;

/// The environment, injected so that tests need not touch the real one.
pub trait Environment {
    /// The value of a variable; `None` when it is not set or is not UTF-8.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl<S: std::hash::BuildHasher> Environment for HashMap<String, String, S> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// Where a process reads its configuration, at its start and whenever that changes.
#[derive(Clone)]
pub struct Origin {
    /// The configuration file.
    pub path: PathBuf,
    /// What `${NAME}` stands for.
    pub environment: Arc<dyn Environment + Send + Sync>,
}

/// What a configuration was made of: every file that was asked for, found or not, and what stood in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The configuration file and every file it names: what to watch for a reload.
    pub files: Vec<PathBuf>,
    /// Tells whether two readings read the same.
    pub digest: Digest,
}

/// A hash over files and their contents, secrets among them: compared, never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// Shows nothing.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Reads the configuration file and the files that it names, and remembers which.
pub(super) struct Files {
    config: PathBuf,
    directory: PathBuf,
    read: RefCell<Vec<(PathBuf, Digest)>>,
}

impl Files {
    /// Relative names start at the directory of the configuration file.
    pub(super) fn of(config: &Path) -> Self {
        let directory = config.parent().map(Path::to_owned).unwrap_or_default();
        Self { config: config.to_owned(), directory, read: RefCell::default() }
    }

    /// The configuration file itself.
    pub(super) fn config(&self) -> io::Result<String> {
        self.remember(self.config.clone(), read(&self.config))
    }

    /// A path of the configuration, made independent of where the process runs.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// What was asked for so far.
    pub(super) fn sources(&self) -> Sources {
        let mut read = self.read.borrow().clone();
        read.sort_by(|(one, _), (other, _)| one.cmp(other));
        read.dedup();
        let mut digest = Context::new(&SHA256);
        for (_, content) in &read {
            digest.update(&content.0);
        }
        let mut files: Vec<PathBuf> = read.into_iter().map(|(file, _)| file).collect();
        files.dedup();
        Sources { files, digest: Digest::of(digest) }
    }

    /// A secret, without the line end after it.
    pub(super) fn secret(&self, path: &str) -> Result<SecretString, String> {
        let text = self.text(path)?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.trim().is_empty() {
            return Err(format!("{} is empty: write the secret into it", self.resolve(path).display()));
        }
        Ok(SecretString::from(secret))
    }

    /// A PEM file with at least one certificate.
    pub(super) fn certificates(&self, path: &str) -> Result<Vec<u8>, String> {
        let text = self.text(path)?;
        let name = self.resolve(path);
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match certificates {
            Ok(found) if !found.is_empty() => Ok(text.into_bytes()),
            Ok(_) | Err(_) => Err(format!("{} holds no PEM certificate (BEGIN CERTIFICATE)", name.display())),
        }
    }

    /// A PEM file with a private key.
    pub(super) fn private_key(&self, path: &str) -> Result<SecretString, String> {
        let secret = self.text(path).map(SecretString::from)?;
        match PrivateKeyDer::from_pem_slice(secrecy::ExposeSecret::expose_secret(&secret).as_bytes()) {
            Ok(_) => Ok(secret),
            Err(_) => Err(format!("{} holds no PEM private key (BEGIN PRIVATE KEY)", self.resolve(path).display())),
        }
    }

    /// Remembers a file with what it says, or why it says nothing.
    fn remember(&self, name: PathBuf, content: io::Result<String>) -> io::Result<String> {
        let mut digest = Context::new(&SHA256);
        digest.update(name.as_os_str().as_bytes());
        match &content {
            Ok(text) => {
                digest.update(b"\0");
                digest.update(text.as_bytes());
            }
            Err(error) => digest.update(error.to_string().as_bytes()),
        }
        self.read.borrow_mut().push((name, Digest::of(digest)));
        content
    }

    fn text(&self, path: &str) -> Result<String, String> {
        let name = self.resolve(path);
        self.remember(name.clone(), read(&name)).map_err(|error| format!("{} cannot be read: {error}", name.display()))
    }
}

impl Digest {
    fn of(context: Context) -> Self {
        let mut digest = [0_u8; 32];
        digest.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(digest)
    }
}

/// A small text file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(MAX_FILE + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

/// A text with its `${NAME}` replaced, and whether there was any. `$${` stands for `${`.
pub(super) fn interpolate(text: &str, environment: &dyn Environment) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut replaced = false;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at]);
            out.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let (name, after) = rest[at + 2..].split_once('}').ok_or("`${` without `}`: write ${NAME}, or $${ for `${`")?;
        out.push_str(&variable(name, environment)?);
        replaced = true;
        rest = after;
    }
    out.push_str(rest);
    Ok((out, replaced))
}

fn variable(name: &str, environment: &dyn Environment) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(legal) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("`${…}` takes the name of an environment variable: letters, digits and `_`".to_owned());
    }
    match environment.var(name) {
        None => Err(format!("the environment variable {name} is not set")),
        Some(value) if value.is_empty() => Err(format!("the environment variable {name} is empty")),
        Some(value) => Ok(value),
    }
}
