//! Holds the shape: which module may use which, the purity of `core`, who may name what, and the size of files.
//!
//! ```text
//! main → app → edges (grpc, http, admin) → flows (check, refresh, login, logout) → ports (store, oidc) → core
//! ```

#![expect(clippy::unwrap_used, reason = "a test: what cannot be read fails it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use beside itself.
const ARROWS: [(&str, &[&str]); 16] = [
    ("core", &[]),
    ("clock", &["core"]),
    ("config", &["clock", "core"]),
    ("render", &["config", "core"]),
    ("telemetry", &["clock", "config", "core"]),
    ("store", &["clock", "config", "core", "telemetry"]),
    ("oidc", &["clock", "config", "core", "telemetry"]),
    ("refresh", &["clock", "core", "oidc", "store", "telemetry"]),
    ("check", &["clock", "core", "refresh", "store", "telemetry"]),
    ("login", &["clock", "core", "oidc", "store", "telemetry"]),
    ("logout", &["clock", "core", "oidc", "store", "telemetry"]),
    ("grpc", &["check", "core", "telemetry"]),
    ("http", &["clock", "core", "login", "logout", "oidc", "store", "telemetry"]),
    ("admin", &["clock", "oidc", "store", "telemetry"]),
    (
        "app",
        &[
            "admin",
            "check",
            "clock",
            "config",
            "core",
            "grpc",
            "http",
            "login",
            "logout",
            "oidc",
            "refresh",
            "store",
            "telemetry",
        ],
    ),
    ("cli", &["app", "config", "core", "render"]),
];

/// What no pure code says.
const IMPURE: [&str; 12] = [
    "async ",
    ".await",
    "tokio",
    "tracing",
    "SystemTime",
    "Instant",
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "rand::",
    "println",
    "metrics",
];

/// Words that only some files may say.
const OWNED: [(&str, &[&str]); 8] = [
    ("envoy_types", &["grpc"]),
    ("bb8", &["store"]),
    ("redb", &["store"]),
    ("openidconnect", &["oidc"]),
    ("reqwest", &["oidc"]),
    ("tokio::spawn", &["app"]),
    ("store::embedded", &["app", "store"]),
    ("store::redis", &["app", "store"]),
];

/// Lines of code in a file, tests not counted: what fits a reader's head.
const MAX_LINES: usize = 400;

struct Source {
    path: PathBuf,
    /// The top-level module.
    module: String,
    /// Without comments and without its test module.
    code: String,
}

#[test]
fn modules_use_only_what_the_arrows_allow() {
    let arrows: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(module, may)| (*module, may.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for source in sources() {
        if ["main", "lib"].contains(&source.module.as_str()) {
            continue;
        }
        let Some(may) = arrows.get(source.module.as_str()) else {
            wrong.push(format!("{}: `{}` has no arrow in this test", source.path.display(), source.module));
            continue;
        };
        for used in used_modules(&source.code) {
            if used != source.module && !may.contains(used.as_str()) {
                wrong.push(format!("{}: `{}` uses `{used}`", source.path.display(), source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "against the arrows:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_neither_waits_nor_reads_a_clock_nor_logs() {
    let impure: Vec<String> = sources()
        .iter()
        .filter(|source| source.module == "core")
        .flat_map(|source| {
            IMPURE
                .iter()
                .filter(|word| source.code.contains(**word))
                .map(|word| format!("{}: {word}", source.path.display()))
        })
        .collect();
    assert!(impure.is_empty(), "the core is not pure:\n{}", impure.join("\n"));
}

#[test]
fn libraries_and_adapters_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, owners) in OWNED {
            if source.code.contains(word) && !owners.contains(&source.module.as_str()) {
                wrong.push(format!("{}: {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "out of place:\n{}", wrong.join("\n"));
}

#[test]
fn files_open_with_what_they_are_and_fit_a_readers_head() {
    let mut wrong = Vec::new();
    for source in sources() {
        let text = fs::read_to_string(&source.path).unwrap();
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not say what it is", source.path.display()));
        }
        let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > MAX_LINES {
            wrong.push(format!("{}: {lines} lines of code", source.path.display()));
        }
        if source.path.ends_with("mod.rs") {
            wrong.push(format!("{}: foo.rs + foo/, never mod.rs", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(read(&root, path));
            }
        }
    }
    assert!(found.len() > 40, "the sources were not found");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(root: &Path, path: PathBuf) -> Source {
    let first =
        path.strip_prefix(root).unwrap().components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    let module = first.trim_end_matches(".rs").to_owned();
    let is_test = path.file_stem().is_some_and(|stem| stem == "tests" || stem == "fixtures");
    let text = if is_test { String::new() } else { fs::read_to_string(&path).unwrap() };
    // Test modules come last in a file.
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let code = text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    Source { path, module, code }
}

/// Top-level modules named by `crate::…`, `coatcheck::…` or `use crate::{…}`.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for start in ["crate::", "use coatcheck::", " coatcheck::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            match rest.strip_prefix('{') {
                Some(list) => used.extend(list.split('}').next().unwrap_or_default().split(',').filter_map(first_word)),
                None => used.extend(first_word(rest)),
            }
        }
    }
    used
}

fn first_word(text: &str) -> Option<String> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}
