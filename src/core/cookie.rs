//! Cookies of a request: finding ours, and cutting ours out of what the upstream receives.
//!
//! Other cookies are never parsed and written again: our span is cut from the original text, the rest stays
//! byte for byte.

/// The text of a request's `Cookie` header(s).
#[derive(Debug, Clone, Default)]
pub struct CookieText<'a> {
    lines: Vec<&'a [u8]>,
    commas: Commas,
}

/// What a comma in a `Cookie` line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Commas {
    /// Part of a value.
    #[default]
    Content,
    /// Perhaps the seam between two lines.
    Seam,
    /// Part of a value, but to an application perhaps a seam.
    Suspect,
}

/// Who sends several `Cookie` lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Shows Fetch Metadata: a browser, which sends one line (over HTTP/2 in pieces that Envoy joins by `; `).
    Browser,
    /// A program, which may send several, and has no cookies that somebody else planted.
    Program,
}

/// What a request shows as session cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionCookie<'a> {
    /// None.
    Absent,
    /// Exactly one, with this value.
    One(&'a [u8]),
    /// More than one: somebody planted one, so none is trusted.
    Ambiguous,
}

/// What becomes of the `Cookie` header on its way to the upstream.
#[derive(Clone, PartialEq, Eq)]
pub enum Cut {
    /// None of ours was there.
    Untouched,
    /// Only ours were there: the header goes.
    Removed,
    /// The rest.
    Replaced(String),
}

impl<'a> CookieText<'a> {
    /// `Cookie` lines as the client sent them (`encode_raw_headers`).
    #[must_use]
    pub const fn raw(lines: Vec<&'a [u8]>) -> Self {
        Self { lines, commas: Commas::Content }
    }

    /// One value into which Envoy joined repeated `Cookie` lines by commas (the default header map). Commas are
    /// then taken as boundaries, but only to find our own cookies.
    #[must_use]
    pub fn joined(line: &'a [u8], sender: Sender) -> Self {
        let commas = match sender {
            Sender::Browser => Commas::Suspect,
            Sender::Program => Commas::Seam,
        };
        Self { lines: vec![line], commas }
    }

    /// Whether several lines may have become one.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.commas != Commas::Content
    }

    /// The session cookie by its exact, case-sensitive name. After a comma in a browser's line it does not count, but for
    /// ambiguity: it is inside the value of a cookie that a sibling subdomain planted, which the `__Host-` prefix is
    /// there to prevent.
    #[must_use]
    pub fn session(&self, name: &str) -> SessionCookie<'a> {
        let commas = self.commas;
        let mut found = self
            .lines
            .iter()
            .flat_map(move |line| segments(line, commas))
            .map(|(separator, segment)| (separator, pair(segment)))
            .filter(|(_, (known, _))| *known == name.as_bytes());
        match (found.next(), found.next()) {
            (Some((Some(','), _)), None) if commas == Commas::Suspect => SessionCookie::Absent,
            (None, None) => SessionCookie::Absent,
            (Some((_, (_, value))), None) => SessionCookie::One(value),
            (_, Some(_)) => SessionCookie::Ambiguous,
        }
    }

    /// Cuts the session cookie and every cookie whose name begins with its name and a dot (login attempts,
    /// logout state). Several lines become one, joined by `; `.
    #[must_use]
    pub fn cut(&self, name: &str) -> Cut {
        let mut all = self.lines.iter().flat_map(|line| segments(line, self.commas));
        if !all.any(|(_, segment)| is_ours(pair(segment).0, name)) {
            return Cut::Untouched;
        }
        let rest: Vec<String> =
            self.lines.iter().map(|line| self.cut_line(line, name)).filter(|line| !line.is_empty()).collect();
        if rest.is_empty() { Cut::Removed } else { Cut::Replaced(rest.join("; ")) }
    }

    /// The name/value pairs that count: after a comma in a browser's line none does, as with the session cookie.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let commas = self.commas;
        let counts = move |separator| commas != Commas::Suspect || separator != Some(',');
        let found = self.lines.iter().flat_map(move |line| segments(line, commas));
        found.filter(move |(separator, _)| counts(*separator)).map(|(_, segment)| pair(segment))
    }

    /// A segment that is not UTF-8 cannot travel in an ext_authz answer (Envoy ignores `raw_value`), so it is
    /// cut too; it stays when nothing of ours is in the request.
    fn cut_line(&self, line: &[u8], name: &str) -> String {
        let mut rest = String::with_capacity(line.len());
        for (separator, segment) in segments(line, self.commas) {
            let Ok(text) = std::str::from_utf8(segment) else { continue };
            if is_ours(pair(segment).0, name) || (rest.is_empty() && text.trim().is_empty()) {
                continue;
            }
            match separator {
                Some(separator) if !rest.is_empty() => {
                    rest.push(separator);
                    rest.push_str(text);
                }
                Some(_) | None => rest.push_str(text.trim_start()),
            }
        }
        rest
    }
}

/// The name/value pairs of one raw `Cookie` line, outer white space removed.
pub fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    segments(line, Commas::Content).map(|(_, segment)| pair(segment))
}

/// The session cookie in raw `Cookie` lines.
#[must_use]
pub fn session_cookie<'a>(lines: &[&'a [u8]], name: &str) -> SessionCookie<'a> {
    CookieText::raw(lines.to_vec()).session(name)
}

fn is_ours(known: &[u8], name: &str) -> bool {
    known.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'.'))
}

/// Segments with the separator before each.
fn segments(line: &[u8], commas: Commas) -> impl Iterator<Item = (Option<char>, &[u8])> {
    let mut rest = Some((None, line));
    std::iter::from_fn(move || {
        let (separator, text) = rest.take()?;
        let end = text.iter().position(|byte| *byte == b';' || (commas != Commas::Content && *byte == b','));
        let Some(end) = end else { return Some((separator, text)) };
        let (segment, tail) = text.split_at(end);
        if let Some((next, tail)) = tail.split_first() {
            rest = Some((Some(char::from(*next)), tail));
        }
        Some((separator, segment))
    })
}

fn pair(segment: &[u8]) -> (&[u8], &[u8]) {
    let at = segment.iter().position(|byte| *byte == b'=').unwrap_or(segment.len());
    let (name, value) = segment.split_at(at);
    (name.trim_ascii(), value.strip_prefix(b"=").unwrap_or(value).trim_ascii())
}

#[cfg(test)]
mod tests;
