//! Where a login lands: a path on the app's own origin, or `/`.
//!
//! What comes in was written by anybody. What goes out begins with exactly one `/` and stays on the origin
//! however often somebody decodes it (RFC 9700 §4.11.1: no open redirector).

use std::fmt::Write;

use url::Url;

use super::app::Origin;

/// The longest target that still fits, sealed, into a cookie of 4096 bytes.
const LONGEST: usize = 2048;

/// Further rounds of decoding are nobody's honest path.
const DECODING_ROUNDS: usize = 8;

/// Our own routes: landing there would start over, end the session or show JSON.
const OWN_ROUTES: [&str; 5] = ["login", "callback", "logout", "session", "backchannel-logout"];

/// A path on the app's own origin, with query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl ReturnTo {
    /// Reads a target. Anything that is not plainly a path on `origin` outside of our own routes under
    /// `prefix` becomes `/`.
    #[must_use]
    pub fn parse(text: &str, origin: &Origin, prefix: &str) -> Self {
        Self::accept(text, origin, prefix).unwrap_or_default()
    }

    /// The target as it stands in a `Location` header: visible ASCII only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn accept(text: &str, origin: &Origin, prefix: &str) -> Option<Self> {
        if text.len() > LONGEST || text.chars().any(char::is_control) {
            return None;
        }
        let (path, rest) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
        if !is_plain_path(path) {
            return None;
        }
        let target = visible(path) + &visible(rest);
        // As a browser will read it (WHATWG), dot segments resolved.
        let base = Url::parse(origin.as_str()).ok()?;
        let landing = base.join(&target).ok()?;
        let stays = landing.origin() == base.origin() && landing.username().is_empty() && landing.password().is_none();
        let resolved = fully_decoded(landing.path())?;
        (stays && !resolved.starts_with("//") && !is_own_route(&resolved, prefix) && target.len() <= LONGEST)
            .then_some(Self(target))
    }
}

/// One leading slash, and no character that some reader takes for a separator, however often the path is decoded:
/// `\`, `;`, an encoded slash, control characters. Of other scripts only letters and digits: among the rest are
/// signs that look like a slash, a dot or nothing, and some readers turn them into one.
fn is_plain_path(path: &str) -> bool {
    let Some(decoded) = fully_decoded(path) else { return false };
    path.starts_with('/')
        && !decoded.starts_with("//")
        && path.chars().all(|c| c.is_ascii_graphic() || !c.is_ascii())
        && decoded
            .chars()
            .all(|c| if c.is_ascii() { !c.is_control() && !r"\;".contains(c) } else { c.is_alphanumeric() })
        && decoded.matches('/').count() == path.matches('/').count()
}

/// Decodes until nothing is left to decode. `None` when that takes too long.
fn fully_decoded(path: &str) -> Option<String> {
    let mut text = path.to_owned();
    for _ in 0..DECODING_ROUNDS {
        let decoded = percent_decoded(&text);
        if decoded == text {
            return Some(text);
        }
        text = decoded;
    }
    None
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let (value, after) = escape(rest).unwrap_or((byte, after));
        out.push(value);
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The byte that a leading `%XX` stands for, and what follows it.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let ([b'%', high, low], rest) = text.split_first_chunk::<3>()? else { return None };
    let value = char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?;
    Some((u8::try_from(value).ok()?, rest))
}

/// Text as it may stand in a header: what is not visible ASCII is percent-encoded, and so are the backslash and
/// the characters of HTML, which changes nothing for the reader.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // a String takes everything
        }
    }
    out
}

fn is_own_route(path: &str, prefix: &str) -> bool {
    let Some(route) = path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) else { return false };
    let first = route.split('/').next().unwrap_or_default();
    OWN_ROUTES.contains(&first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> String {
        let origin = Origin::new("https://shop.example.com".to_owned());
        ReturnTo::parse(text, &origin, "/auth").as_str().to_owned()
    }

    #[test]
    fn a_path_on_our_own_origin_is_kept() {
        for kept in [
            "/",
            "/orders",
            "/orders/7?tab=2",
            "/x?next=https://y#z",
            "/x?next=%2F%2Fevil.example",
            "/caf%C3%A9",
            "/@somebody",
            "/100%25",
            "/authors",
            "/auth-docs/login",
            "/#/spa/route",
        ] {
            assert_eq!(parse(kept), kept);
        }
    }

    #[test]
    fn foreign_letters_are_kept_encoded() {
        assert_eq!(parse("/ünïcode/東京"), "/%C3%BCn%C3%AFcode/%E6%9D%B1%E4%BA%AC");
        assert_eq!(parse("/x?q=é\\\"<>"), "/x?q=%C3%A9%5C%22%3C%3E");
    }

    #[test]
    fn whatever_may_leave_our_origin_becomes_the_root() {
        for bad in [
            "",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/%252fevil.example",
            "/%25252fevil.example",
            "/a%2fb",
            "%2f%2fevil.example",
            "\t//evil.example",
            "/\t/evil.example",
            "/%09/evil.example",
            "/%0d%0aset-cookie:x",
            "/x\r\nset-cookie: y",
            "/x?\r\nset-cookie: y",
            " /x",
            "https:evil.example",
            "https://evil.example/",
            "https://shop.example.com@evil.example/",
            "https://shop.example.com/",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "@evil.example",
            ".evil.example",
            ";//evil.example",
            "/;/evil.example",
            "/%3b/evil.example",
            "/\u{ff0f}evil.example",
            "/\u{2044}evil.example",
            "\u{ff0f}\u{ff0f}evil.example",
            "/evil\u{3002}example",
            "/%EF%BC%8Fevil.example",
            "/%C0%AFevil.example",
            "/\u{2028}x",
            "/\u{200b}/evil.example",
            "/ /evil.example",
            "/..//evil.example",
            "/.//evil.example",
            "/x/%2e%2e//evil.example",
        ] {
            assert_eq!(parse(bad), "/", "{bad:?}");
        }
    }

    #[test]
    fn our_own_routes_are_no_place_to_land() {
        for own in [
            "/auth/login",
            "/auth/login?return_to=/x",
            "/auth/callback",
            "/auth/logout",
            "/auth/logout/done",
            "/auth/session",
            "/x/../auth/login",
            "/auth/%6cogin",
            "/%61uth/login",
            "/auth/%256cogin",
        ] {
            assert_eq!(parse(own), "/", "{own}");
        }
    }

    #[test]
    fn a_target_too_long_for_a_cookie_becomes_the_root() {
        assert_eq!(parse(&format!("/{}", "a".repeat(3000))), "/");
        assert_eq!(parse(&format!("/x?{}", "é".repeat(1000))), "/", "too long once encoded");
    }

    proptest! {
        #[test]
        fn the_landing_never_leaves_our_origin(text in target()) {
            let kept = parse(&text);
            prop_assert!(kept.starts_with('/') && !kept.starts_with("//"));
            prop_assert!(kept.bytes().all(|byte| byte.is_ascii_graphic()));
            let base = Url::parse("https://shop.example.com/auth/callback").unwrap();
            let landing = base.join(&kept).unwrap();
            prop_assert_eq!(landing.origin(), base.origin());
            for own in OWN_ROUTES {
                let route = format!("/auth/{own}");
                prop_assert_ne!(landing.path(), &route);
            }
            // Reading what we wrote changes nothing.
            prop_assert_eq!(parse(&kept), kept);
        }
    }

    /// Text put together from the pieces that such attacks are made of, and anything else.
    fn target() -> impl Strategy<Value = String> {
        let pieces = [
            "/",
            "\\",
            "%2f",
            "%5C",
            "%25",
            "..",
            "@",
            ":",
            "evil.example",
            "https:",
            "?",
            "#",
            "\t",
            "auth",
            "login",
            "\u{ff0f}",
        ];
        let piece = prop_oneof![
            proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned),
            any::<String>(),
            "[a-z%0-9A-F/]{0,8}"
        ];
        (any::<bool>(), proptest::collection::vec(piece, 0..8))
            .prop_map(|(slash, pieces)| format!("{}{}", if slash { "/" } else { "" }, pieces.concat()))
    }
}
