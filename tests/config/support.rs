//! A directory with a configuration in it, and a made-up environment.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use coatcheck::config::{self, Config, ConfigErrors, Warnings};

/// A key as `coatcheck keygen` prints it: 32 zero bytes.
pub(crate) const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A provider and an app, both sound; sections to test go before them.
pub(crate) const PROVIDERS: &str = "\
providers:
  - { name: main, issuer: https://id.example.com, client_id: shop, client_secret_file: client }
";
pub(crate) const APPS: &str = "\
apps:
  - { name: shop, origin: https://shop.example.com, provider: main }
";

/// A temporary directory with `coatcheck.yaml` and the files it names.
pub(crate) struct Site {
    directory: tempfile::TempDir,
    environment: HashMap<String, String>,
}

impl Site {
    /// With the secret files `client` and `key-1`.
    pub(crate) fn new() -> Self {
        let site = Self { directory: tempfile::tempdir().unwrap(), environment: HashMap::new() };
        site.file("client", "client-canary\n").file("key-1", &format!("{KEY}\n"))
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `coatcheck.yaml` and loads it.
    pub(crate) fn load(&self, yaml: &str) -> Result<(Config, Warnings), ConfigErrors> {
        let path = self.path("coatcheck.yaml");
        std::fs::write(&path, yaml).unwrap();
        config::load(&path, &self.environment)
    }

    /// The configuration of a text that must be sound.
    pub(crate) fn config(&self, yaml: &str) -> Config {
        self.load(yaml).unwrap_or_else(|mistakes| panic!("{yaml}\n{mistakes}")).0
    }

    /// Warnings of a text that must be sound, one a line, without the directory.
    pub(crate) fn warnings(&self, yaml: &str) -> String {
        let loaded = self.load(yaml).unwrap_or_else(|mistakes| panic!("{yaml}\n{mistakes}"));
        self.shown(&loaded.1.to_string())
    }

    /// Mistakes of a text that must not be sound, one a line, without the directory.
    pub(crate) fn mistakes(&self, yaml: &str) -> String {
        match self.load(yaml) {
            Ok(_) => panic!("this was accepted:\n{yaml}"),
            Err(mistakes) => self.shown(&mistakes.to_string()),
        }
    }

    fn shown(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}
