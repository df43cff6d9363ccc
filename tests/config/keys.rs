//! Server keys: as text, as files, and the one that the embedded store makes for itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coatcheck::config::{KeyFileError, embedded_key, generate_key, key_path};
use coatcheck::core::keyring::Keyring;

use crate::support::{APPS, PROVIDERS, Site};

fn fingerprint(ring: &Keyring) -> [u8; 16] {
    ring.primary().index_hash(&["same", "key"])
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn generated_keys_differ_and_load() {
    let (one, other) = (generate_key(), generate_key());
    assert_ne!(*one, *other);
    let site = Site::new().file("fresh", &one);
    let config = site.config(&format!("keys: [ {{ id: 9, file: fresh }} ]\n{PROVIDERS}{APPS}"));
    assert_eq!(config.keys.unwrap().primary().id().0, 9);
}

#[test]
fn the_embedded_store_makes_its_key_once_and_only_for_its_owner() {
    let site = Site::new();
    let store = site.path("coatcheck.db");
    let first = embedded_key(&store).unwrap();
    assert_eq!(mode(&key_path(&store)), 0o600);
    assert_eq!(fingerprint(&first), fingerprint(&embedded_key(&store).unwrap()));
    let drafts = std::fs::read_dir(site.directory()).unwrap();
    let names: Vec<String> = drafts.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.contains(".key")).collect::<Vec<_>>(), ["coatcheck.db.key"]);
}

#[test]
fn processes_that_start_together_get_the_same_key() {
    let site = Site::new();
    let store = site.path("coatcheck.db");
    let prints: Vec<[u8; 16]> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| fingerprint(&embedded_key(&store).unwrap()))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(prints.iter().all(|print| *print == prints[0]));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    for bits in [0o640, 0o604, 0o660] {
        let site = Site::new();
        let store = site.path("coatcheck.db");
        embedded_key(&store).unwrap();
        std::fs::set_permissions(key_path(&store), PermissionsExt::from_mode(bits)).unwrap();
        let error = embedded_key(&store).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { mode, .. } if mode == bits), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_key_file_with_something_else_in_it_is_refused_without_showing_it() {
    for content in ["", "canary", "Y2FuYXJ5"] {
        let site = Site::new().file("coatcheck.db.key", content);
        std::fs::set_permissions(site.path("coatcheck.db.key"), PermissionsExt::from_mode(0o600)).unwrap();
        let error = embedded_key(&site.path("coatcheck.db")).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn a_missing_directory_is_an_error_that_names_the_file() {
    let error = embedded_key(Path::new("/nonexistent/coatcheck.db")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/coatcheck.db.key"), "{error}");
}
