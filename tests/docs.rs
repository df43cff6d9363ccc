//! Holds the documentation to what exists: the tests and log lines that it quotes, the files that it links to, the metrics that it
//! names, the configuration that it shows. Needs nothing but the standard library.

#![expect(clippy::panic, reason = "a helper that fails fails its test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The groups of requirements, and how many each has.
const REQUIREMENTS: [(&str, usize); 10] = [
    ("BB", 16),
    ("SB", 18),
    ("OC", 20),
    ("RL", 8),
    ("BL", 17),
    ("FL", 5),
    ("RV", 5),
    ("AD", 22),
    ("CK", 15),
    ("OW", 20),
];

#[test]
fn every_test_that_the_conformance_page_names_exists() {
    let rust = text_of(&["src", "tests"], "rs");
    let browser = text_of(&["tests/browser", "tests/peers"], "mjs");
    let missing: Vec<String> = rows("docs/conformance.md")
        .iter()
        .flat_map(|(_, reason)| quoted(reason))
        .filter(|name| !rust.contains(&format!("fn {name}(")) && !browser.contains(&format!("'{name}'")))
        .collect();
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn every_sentence_that_a_page_quotes_as_a_test_is_one() {
    let rust = text_of(&["src", "tests"], "rs");
    let missing: Vec<String> = pages()
        .iter()
        .flat_map(|page| quoted(&read(page)))
        .filter(|word| is_sentence(word) && !rust.contains(&format!("fn {word}(")))
        .collect();
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn every_requirement_stands_on_the_conformance_page_once() {
    let found: Vec<String> = rows("docs/conformance.md").into_iter().map(|(id, _)| id).collect();
    let expected: Vec<String> = REQUIREMENTS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}")))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = page.parent().unwrap_or(Path::new(""));
        for link in links(&read(&page)) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !link.contains("://") && !root().join(folder).join(file).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_log_line_and_metric_of_the_failure_page_is_in_the_code() {
    let code = text_of(&["src"], "rs");
    let page = read(Path::new("docs/failures.md"));
    let mut missing = Vec::new();
    for word in quoted(&page) {
        let line = word.strip_prefix('"').and_then(|word| word.strip_suffix('"'));
        if line.is_some_and(|line| !code.contains(line)) || word.starts_with("coatcheck_") && !code.contains(&word) {
            missing.push(word);
        }
    }
    assert!(missing.is_empty(), "not in the code:\n{}", missing.join("\n"));
}

#[test]
fn the_readme_shows_the_smallest_configuration_as_it_is() {
    let example = read(Path::new("docs/examples/laptop.yaml"));
    let readme = read(Path::new("README.md"));
    let shown = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    assert_eq!(shown.trim_end(), example.trim_end());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages for people: those at the top, and everything under `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md"].map(PathBuf::from).to_vec();
    pages.extend(files(Path::new("docs"), "md"));
    pages
}

/// The ID and the reason of each row of a table.
fn rows(page: &str) -> Vec<(String, String)> {
    let text = read(Path::new(page));
    let row = |line: &str| {
        let (id, reason) = line.strip_prefix("| ")?.split_once(" | ")?;
        (id != "ID" && id != "---").then(|| (id.to_owned(), reason.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Six words and more joined by underscores: no option of Envoy's or of ours is that long, and metrics have a prefix.
fn is_sentence(word: &str) -> bool {
    let letters = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    letters && !word.starts_with("coatcheck_") && word.matches('_').count() >= 5
}

/// Targets of Markdown links outside of code blocks.
fn links(page: &str) -> Vec<String> {
    let prose: String = page.split("```").step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

fn text_of(folders: &[&str], extension: &str) -> String {
    let all: Vec<PathBuf> = folders.iter().flat_map(|folder| files(Path::new(folder), extension)).collect();
    all.iter().map(|path| read(path)).collect()
}

/// Files below a folder, installed packages left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            if entry.file_name() != "node_modules" {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
