//! Request targets and the path patterns of rules.
//!
//! What Envoy forwards is not what every upstream reads: some decode twice, drop `;params`, take `\` for `/` or
//! resolve dot segments late. A target that is read the same way by all is [`Target::Plain`]; any other carries all
//! the readings we know of, and the policy judges by the strictest.

use std::collections::BTreeSet;

/// Ambiguous targets longer than this are refused: each is read in some hundred ways.
const MAX_AMBIGUOUS: usize = 2048;

/// How many times an upstream might percent-decode.
const MAX_DECODINGS: usize = 3;

/// A request target's path, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every upstream reads it the same way; decoded, without query.
    Plain(String),
    /// Upstreams may read it differently: all the readings we know of.
    Ambiguous(Vec<String>),
}

impl Target {
    /// Reads a request target in origin form (RFC 9112 §3.2.1). `None`: refuse it (another form, control
    /// characters, an encoded NUL, or an absurd length).
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let path = raw.split('?').next().unwrap_or(raw);
        if !path.starts_with('/') || raw.chars().any(char::is_control) || has_encoded_control(path) {
            return None;
        }
        match plain(path) {
            Some(decoded) => Some(Self::Plain(decoded)),
            None if path.len() > MAX_AMBIGUOUS => None,
            None => Some(Self::Ambiguous(readings(path))),
        }
    }
}

/// The decoded path if there is only one way to read it.
fn plain(path: &str) -> Option<String> {
    let harmless = |byte: u8| byte.is_ascii() && !matches!(byte, b'\\' | b';' | b'#');
    let dotted = path.split('/').any(|segment| segment == "." || segment == "..");
    if !path.bytes().all(harmless) || path.contains("//") || dotted {
        return None;
    }
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (code, tail) = escape(tail)?;
            // Unreserved characters need no escape, structure must not hide in one: both mean somebody plays.
            let tricky = code.is_ascii_alphanumeric() || b"-._~/\\;%#?".contains(&code);
            if tricky {
                return None;
            }
            decoded.push(code);
            rest = tail;
        } else {
            decoded.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(decoded).ok()
}

/// The byte of an escape, and what follows it.
fn escape(after_percent: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = after_percent.split_first_chunk::<2>()?;
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some((value(digits[0])? << 4 | value(digits[1])?, rest))
}

/// One pass of percent-decoding; what is no escape stays.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = if byte == b'%' { escape(tail) } else { None };
        let (byte, tail) = escaped.unwrap_or((byte, tail));
        out.push(byte);
        rest = tail;
    }
    out
}

fn has_encoded_control(path: &str) -> bool {
    if !path.contains('%') {
        return false;
    }
    std::iter::successors(Some(path.as_bytes().to_vec()), |text| {
        let decoded = decode(text);
        (decoded != *text).then_some(decoded)
    })
    .take(MAX_DECODINGS + 1)
    .any(|text| text.iter().any(u8::is_ascii_control))
}

/// All combinations of what upstreams are known to do to a path.
fn readings(path: &str) -> Vec<String> {
    let mut all = BTreeSet::from([path.to_owned()]);
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..=MAX_DECODINGS {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for steps in 0..32_u8 {
            all.insert(reading(&text, steps));
        }
        bytes = decode(&bytes);
    }
    all.into_iter().collect()
}

/// One reading; each bit of `steps` is something an upstream may or may not do.
fn reading(text: &str, steps: u8) -> String {
    let does = |bit: u8| steps & (1 << bit) != 0;
    let mut path = text.to_owned();
    if does(0) {
        path = path.split(['#', '?']).next().unwrap_or_default().to_owned();
    }
    if does(1) {
        path = path.replace('\\', "/");
    }
    if does(2) {
        let bare = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
        path = path.split('/').map(bare).collect::<Vec<_>>().join("/");
    }
    if does(3) {
        let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        if path.ends_with('/') {
            segments.push("");
        }
        path = format!("/{}", segments.join("/"));
    }
    if does(4) {
        path = resolve_dots(&path);
    }
    path
}

/// RFC 3986 §5.2.4.
fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// A path pattern of a rule. `*` stands for any characters within a segment, a last segment `**` for the path
/// above it and everything below (`/admin/**` matches `/admin`, `/admin/` and `/admin/a/b`). A trailing slash
/// makes no difference. Case does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<String>,
    below: bool,
}

impl Pattern {
    /// Parses a pattern, written decoded (`/my file`, not `/my%20file`).
    ///
    /// # Errors
    /// A sentence that says what is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err("a path begins with `/`".into());
        };
        if let Some(bad) = text.chars().find(|c| c.is_control() || ['?', '#', '%', ';', '\\'].contains(c)) {
            return Err(format!(
                "`{}` cannot be part of a path pattern; write the decoded path without query",
                bad.escape_default()
            ));
        }
        let mut segments: Vec<String> = rest.trim_end_matches('/').split('/').map(str::to_owned).collect();
        if segments.len() > 1 && segments.iter().any(String::is_empty) {
            return Err("`//` never matches: upstreams read it differently".into());
        }
        if segments.iter().any(|segment| segment == "." || segment == "..") {
            return Err("dot segments never match: upstreams resolve them differently".into());
        }
        let below = segments.last().is_some_and(|last| last == "**");
        if below || segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        if segments.iter().any(|segment| segment.contains("**")) {
            return Err("`**` can only be the last segment".into());
        }
        Ok(Self { segments, below })
    }

    /// Whether a decoded path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.split('/').filter(|_| !path.is_empty());
        let all_match = self.segments.iter().all(|segment| parts.next().is_some_and(|part| glob(segment, part)));
        all_match && (self.below || parts.next().is_none())
    }
}

/// The pattern as a person wrote it (without a trailing slash).
impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        match (self.below, self.segments.is_empty()) {
            (true, _) => f.write_str("/**"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

/// Whether `text` matches a pattern in which `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests;
