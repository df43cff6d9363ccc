//! A directory with a configuration in it, and what is rendered for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What no rendered text may hold.
pub(crate) const SECRETS: [&str; 3] = ["client-canary", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "redis-canary"];

/// One app as simple as it can be.
pub(crate) const SHOP: &str = "
providers: [ { name: main, issuer: https://id.example.com, client_id: shop, client_secret_file: client } ]
apps: [ { name: shop, origin: https://shop.example.com, provider: main } ]
";

/// Two apps, one of each mode, several hosts, a store with a password, policies, a collector.
pub(crate) const TWO: &str = "
listen: { grpc: 0.0.0.0:9101, http: 0.0.0.0:9102, admin: 0.0.0.0:9103 }
store: { kind: redis, url: redis://redis:6379/0, password_file: redis }
keys: [ { id: 1, file: key-1 } ]
providers:
  - { name: main, issuer: https://id.example.com, client_id: shop, client_secret_file: client, timeout: 20s }
  - { name: staff, issuer: https://staff.example.com, client_id: office, client_secret_file: client, timeout: 1500ms }
apps:
  - name: shop
    origin: [https://shop.example.com, https://www.shop.example.com]
    provider: main
    policies: { api: { rules: [ { paths: [/v1/**] } ] } }
  - name: Back_Office
    origin: https://office.example.com
    provider: staff
    login: { mode: in_band, prefix: /id, userinfo: true }
    cookie: { name: office }
    upstream: { authorization: id_token }
telemetry: { otlp_endpoint: \"http://collector:4317\" }
";

pub(crate) struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    /// With `coatcheck.yaml` and the secret files that it may name.
    pub(crate) fn new(yaml: &str) -> Self {
        let site = Self { directory: tempfile::tempdir().unwrap() };
        site.write("coatcheck.yaml", yaml);
        for (name, secret) in ["client", "key-1", "redis"].iter().zip(SECRETS) {
            site.write(name, secret);
        }
        site
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs the program in the directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coatcheck"));
        command.args(arguments).current_dir(self.path()).env_clear().output().unwrap()
    }

    /// The text for `render` with these arguments, which must succeed.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["render"], arguments].concat());
        let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {errors}");
        for secret in SECRETS {
            assert!(!text.contains(secret), "{arguments:?} prints a secret");
        }
        text
    }

    /// The same, as data: one document.
    pub(crate) fn one(&self, arguments: &[&str]) -> Value {
        serde_saphyr::from_str(&self.text(arguments)).unwrap()
    }

    /// The same, as data: all documents.
    pub(crate) fn all(&self, arguments: &[&str]) -> Vec<Value> {
        documents(&self.text(arguments))
    }

    /// A file for Envoy.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// The documents of a stream.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    // A scalar never spans lines here, so `---` alone on a line is always a separator.
    let is_empty = |part: &&str| part.lines().all(|line| line.is_empty() || line.starts_with('#'));
    let read = |part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{error}\n{part}"));
    text.split("\n---\n").filter(|part| !is_empty(part)).map(read).collect()
}

/// What stands at a path such as `spec/rules/0`; panics with the path if nothing does.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(&format!("/{path}")).unwrap_or_else(|| panic!("nothing at {path} in {value:#}"))
}

/// The element of a list with that name.
pub(crate) fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().expect("a list").iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}
