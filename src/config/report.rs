//! Mistakes and warnings, each with file, line and key path, collected until everything has been read.
//!
//! A [`Scope`] is a place in the file; readers narrow it (`scope.key("rules").item(2)`) and report against it.
//! Never prints a value that came from the environment: messages quote the text as it stands in the file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::source::Sources;

/// One thing that is wrong, or doubtful, in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line, from 1; none when the file as a whole is meant.
    pub line: Option<u64>,
    /// The key path, as `apps[0].rules[2].paths[0]`; empty for the top level.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// `coatcheck.yaml:14: apps[0].origin: …`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Every mistake of a configuration; never empty. Displays one a line, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    mistakes: Vec<Finding>,
    sources: Sources,
}

impl ConfigErrors {
    /// The mistakes in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.mistakes.iter()
    }

    /// What was read, as far as it went.
    #[must_use]
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(&self.mistakes, f)
    }
}

impl std::error::Error for ConfigErrors {}

/// What is accepted but doubtful. Displays one a line; to be logged at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings(Vec<Finding>);

impl Warnings {
    /// The warnings in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(&self.0, f)
    }
}

fn lines(findings: &[Finding], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, finding) in findings.iter().enumerate() {
        let separator = if at == 0 { "" } else { "\n" };
        write!(f, "{separator}{finding}")?;
    }
    Ok(())
}

/// Where a value stands and how it was written there.
#[derive(Debug, Clone)]
struct Spot {
    line: u64,
    /// The text before `${NAME}` was replaced; `None` for what is not text.
    written: Option<String>,
    from_environment: bool,
}

/// What has been found so far.
#[derive(Debug)]
pub(super) struct Report {
    file: PathBuf,
    spots: RefCell<HashMap<String, Spot>>,
    mistakes: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
}

impl Report {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            spots: RefCell::default(),
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The top level of the file.
    pub(super) fn root(&self) -> Scope<'_> {
        Scope { report: self, path: String::new() }
    }

    /// A mistake that has no key: the file cannot be read, or is no YAML.
    pub(super) fn mistake(&self, line: Option<u64>, message: String) {
        let finding = Finding { file: self.file.clone(), line, key: String::new(), message };
        self.mistakes.borrow_mut().push(finding);
    }

    /// The result with its warnings, or every mistake.
    pub(super) fn finish<T>(self, result: Option<T>, sources: Sources) -> Result<(T, Warnings), ConfigErrors> {
        // The backstop: no result and no mistake would be a bug of ours; it must not pass in silence.
        if result.is_none() && self.mistakes.borrow().is_empty() {
            self.mistake(
                None,
                "the configuration cannot be built; this is a bug of coatcheck, please report it".to_owned(),
            );
        }
        let mistakes = sorted(self.mistakes.into_inner());
        match result {
            Some(result) if mistakes.is_empty() => Ok((result, Warnings(sorted(self.warnings.into_inner())))),
            Some(_) | None => Err(ConfigErrors { mistakes, sources }),
        }
    }
}

/// In the order of the file; the sort is stable, so mistakes of one line keep theirs.
fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// A place in the file.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    report: &'a Report,
    path: String,
}

impl Scope<'_> {
    /// The value of a key of the mapping here.
    pub(super) fn key(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { report: self.report, path: format!("{}{dot}{name}", self.path) }
    }

    /// An item of the list here.
    pub(super) fn item(&self, at: usize) -> Self {
        Self { report: self.report, path: format!("{}[{at}]", self.path) }
    }

    /// The key path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Remembers where this place is in the file.
    pub(super) fn locate(&self, line: u64) {
        self.remember(Spot { line, written: None, from_environment: false });
    }

    /// Remembers a text as written, and whether it names an environment variable.
    pub(super) fn locate_text(&self, line: u64, written: &str, from_environment: bool) {
        self.remember(Spot { line, written: Some(written.to_owned()), from_environment });
    }

    fn remember(&self, spot: Spot) {
        self.report.spots.borrow_mut().insert(self.path.clone(), spot);
    }

    /// The line of this place, or of the nearest one around it that stands in the file.
    pub(super) fn line(&self) -> Option<u64> {
        let spots = self.report.spots.borrow();
        let mut path = self.path.as_str();
        loop {
            if let Some(spot) = spots.get(path) {
                return Some(spot.line);
            }
            path = match path.rfind(['.', '[']) {
                Some(end) => &path[..end],
                None if path.is_empty() => return None,
                None => "",
            };
        }
    }

    /// The text here as the file writes it, in backticks: for messages, never for secrets.
    pub(super) fn quote(&self) -> String {
        let spots = self.report.spots.borrow();
        let written = spots.get(&self.path).and_then(|spot| spot.written.as_deref());
        written.map_or_else(|| "the value".to_owned(), |written| format!("`{written}`"))
    }

    /// Whether the text here comes from the environment at least in part.
    pub(super) fn is_from_environment(&self) -> bool {
        self.report.spots.borrow().get(&self.path).is_some_and(|spot| spot.from_environment)
    }

    /// Whether the file says something here.
    pub(super) fn is_written(&self) -> bool {
        self.report.spots.borrow().contains_key(&self.path)
    }

    /// Whether a mistake was reported exactly here.
    pub(super) fn is_mistaken(&self) -> bool {
        self.report.mistakes.borrow().iter().any(|mistake| mistake.key == self.path)
    }

    /// Reports a mistake here.
    pub(super) fn mistake(&self, message: impl Into<String>) {
        self.report.mistakes.borrow_mut().push(self.finding(self.line(), message.into()));
    }

    /// Reports a mistake at a line of its own: a key that stands in the mapping here.
    pub(super) fn mistake_at(&self, line: u64, message: impl Into<String>) {
        self.report.mistakes.borrow_mut().push(self.finding(Some(line), message.into()));
    }

    /// Warns here.
    pub(super) fn warn(&self, message: impl Into<String>) {
        self.report.warnings.borrow_mut().push(self.finding(self.line(), message.into()));
    }

    /// The value of a parse; a failure is reported here.
    pub(super) fn check<T>(&self, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|message| self.mistake(message)).ok()
    }

    fn finding(&self, line: Option<u64>, message: String) -> Finding {
        Finding { file: self.report.file.clone(), line, key: self.path.clone(), message }
    }
}
