//! What a configuration was read from: what a reload watches and compares.

use coatcheck::config::Sources;

use crate::support::{APPS, KEY, PROVIDERS, Site};

/// Reads files of every kind: a key, secrets, certificates.
const EVERYTHING: &str = "
keys: [ { id: 1, file: key-1 } ]
store: { kind: redis, url: rediss://redis, password_file: pw, tls: { ca_file: c.pem, cert_file: c.pem, key_file: k.pem } }
providers:
  - { name: main, issuer: https://id.example.com, client_id: shop, client_secret_file: client, ca_file: id.pem }
";

fn sources(site: &Site, yaml: &str) -> Sources {
    match site.load(yaml) {
        Ok((config, _)) => config.sources,
        Err(mistakes) => mistakes.sources().clone(),
    }
}

fn names(site: &Site, sources: &Sources) -> Vec<String> {
    let name = |file: &std::path::PathBuf| file.strip_prefix(site.directory()).unwrap().display().to_string();
    sources.files.iter().map(name).collect()
}

#[test]
fn every_file_that_was_asked_for_is_named_once_found_or_not() {
    let certified = rcgen::generate_simple_self_signed(["redis".to_owned()]).unwrap();
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let site = Site::new().file("c.pem", &cert).file("k.pem", &key).file("id.pem", &cert).file("pw", "a-password");
    let yaml = format!("{EVERYTHING}{APPS}");
    let all = ["c.pem", "client", "coatcheck.yaml", "id.pem", "k.pem", "key-1", "pw"];
    assert_eq!(names(&site, &sources(&site, &yaml)), all);
    for missing in ["c.pem", "client", "key-1", "pw"] {
        std::fs::remove_file(site.path(missing)).unwrap();
    }
    assert!(site.load(&yaml).is_err());
    assert_eq!(names(&site, &sources(&site, &yaml)), all, "a mistake hides no file");
    assert_eq!(names(&site, &sources(&site, "apps: [")), ["coatcheck.yaml"]);
}

#[test]
fn the_digest_changes_with_the_content_of_any_file_and_with_nothing_else() {
    let yaml = format!("keys: [ {{ id: 1, file: key-1 }} ]\n{PROVIDERS}{APPS}");
    let site = Site::new();
    let first = sources(&site, &yaml).digest;
    assert_eq!(sources(&site, &yaml).digest, first);
    let site = site.file("client", "client-canary\n");
    assert_eq!(sources(&site, &yaml).digest, first, "written again with the same content");
    assert_ne!(sources(&site, &format!("{yaml}\n")).digest, first);
    let site = site.file("client", "another-canary\n");
    assert_ne!(sources(&site, &yaml).digest, first);
    std::fs::remove_file(site.path("client")).unwrap();
    let missing = sources(&site, &yaml).digest;
    assert_ne!(missing, first);
    let site = site.file("client", "");
    assert_ne!(sources(&site, &yaml).digest, missing, "empty is not missing");
    let site = site.file("client", "client-canary\n").file("key-1", &format!("{KEY}\n"));
    assert_eq!(sources(&site, &yaml).digest, first, "as at first");
    assert_eq!(format!("{first:?}"), "Digest(..)", "a hash over secrets is not shown");
}
