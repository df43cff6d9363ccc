//! Texts of the configuration as values: spans of time, origins, issuers, names of headers and cookies.
//!
//! Pure. An error says what is wrong and what to write; it never repeats the text, which may hold a secret.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::Address;
use crate::core::app::Origin;

/// A span such as `30s` or `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || "is not a span of time: write a whole number with a unit, as `500ms`, `30s`, `10m`, `12h`".to_owned();
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 3600 * 1000,
            "d" => 24 * 3600 * 1000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = number.checked_mul(milliseconds).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// A span as [`duration`] reads it.
pub(super) fn show(span: Duration) -> String {
    let milliseconds = span.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let fitting = units.iter().find(|(_, size)| milliseconds >= *size && milliseconds.is_multiple_of(*size));
    match fitting {
        Some((unit, size)) => format!("{}{unit}", milliseconds / size),
        None if milliseconds == 0 => "0s".to_owned(),
        None => format!("{milliseconds}ms"),
    }
}

/// `127.0.0.1:9001`, `[::]:9001` or `unix:/run/coatcheck.sock`.
pub(super) fn address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        // 107 bytes is what a socket address holds on Linux (`sun_path`).
        if path.starts_with('/') && path.len() <= 107 {
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        return Err("is not a Unix socket: write `unix:` and an absolute path of at most 107 bytes".to_owned());
    }
    text.parse::<SocketAddr>().map(Address::Tcp).map_err(|_| {
        "is not an address: write a literal IP address and a port, as `127.0.0.1:9001`, `0.0.0.0:9001` or \
         `[::1]:9001` (port 0 lets the system choose)"
            .to_owned()
    })
}

/// A public origin, normalised as browsers write it (RFC 6454 §6.2).
pub(super) fn origin(text: &str) -> Result<Origin, String> {
    let url = web_url(text)?;
    let after_host = text.split_once("://").map_or("", |(_, rest)| rest);
    if after_host.contains(['/', '\\', '?', '#']) {
        return Err("an origin has no path, query or fragment, nor a slash at its end: write `https://host`".to_owned());
    }
    Ok(Origin::new(url.origin().ascii_serialization()))
}

/// An issuer (OpenID Connect Discovery §3): checked, and then kept exactly as written.
pub(super) fn issuer(text: &str) -> Result<String, String> {
    web_url(text)?;
    if text.contains(['?', '#']) {
        return Err("an issuer has no query or fragment (OpenID Connect Discovery §3)".to_owned());
    }
    Ok(text.to_owned())
}

/// An `https://` URL, or `http://` of a loopback host, without user name and password.
fn web_url(text: &str) -> Result<Url, String> {
    let example = "write it as `https://host` or `https://host:port`";
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("holds white space: {example}"));
    }
    if !has_web_scheme(text) {
        return Err(format!("does not start with https://; {example}"));
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}): {example}"))?;
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err(format!("holds a user name or password, which do not belong there: {example}"));
    }
    let domain = url.domain().unwrap_or_default();
    if domain.contains('*') {
        return Err("wildcards are not supported: name each host".to_owned());
    }
    if domain.ends_with('.') {
        return Err("the host ends with a dot: leave it out".to_owned());
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("http:// is for loopback hosts only (localhost, *.localhost, 127.0.0.0/8, [::1]): write https://"
            .to_owned());
    }
    Ok(url)
}

fn has_web_scheme(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// An OTLP collector: any host, http or https.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let parsed = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host());
    let plain = parsed.filter(|url| url.username().is_empty() && url.password().is_none());
    plain.map(|_| text.to_owned()).ok_or_else(|| "is not an http:// URL, as `http://127.0.0.1:4317`".to_owned())
}

/// The name of an app, provider or policy.
pub(super) fn name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(legal) {
        return Err("is not a name: letters, digits, `-`, `_` and `.`, at most 64".to_owned());
    }
    Ok(text.to_owned())
}

/// A token of HTTP (RFC 9110 §5.6.2): names of headers and cookies, methods.
pub(super) fn is_token(text: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    !text.is_empty() && text.bytes().all(legal)
}

/// Headers of the connection (RFC 9110 §7.6.1) and of the message's frame: never ours to set.
const FRAME: [&str; 13] = [
    "connection",
    "content-length",
    "cookie",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A header that an upstream may get from us, lower case.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if name.starts_with(':') {
        return Err("pseudo headers cannot be set".to_owned());
    }
    if !is_token(&name) {
        return Err("is not a header name: letters, digits and `-`".to_owned());
    }
    if FRAME.contains(&name.as_str()) {
        return Err("this header belongs to the connection or the message's frame: choose another name".to_owned());
    }
    if name == "authorization" {
        return Err("Authorization is set by `upstream.authorization`".to_owned());
    }
    if name == "set-cookie" {
        return Err("Set-Cookie is not a request header: choose another name".to_owned());
    }
    Ok(name)
}

/// The name of the session cookie (RFC 6265 §4.1.1). Browsers compare the prefixes without regard to case, servers
/// do not: a prefix in another case would bind differently at the two ends.
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    if !is_token(text) || text.len() > 64 {
        return Err("is not a cookie name: letters, digits, `-`, `_` and `.`, at most 64 (RFC 6265 §4.1.1)".to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let prefixes = ["__Host-Http-", "__Host-", "__Http-", "__Secure-"];
    let claimed = prefixes.iter().find(|prefix| lower.starts_with(&prefix.to_ascii_lowercase()));
    match claimed {
        Some(prefix) if !text.starts_with(prefix) => Err(format!("write the prefix exactly: `{prefix}`")),
        Some(prefix) if text.len() == prefix.len() => Err(format!("a name must follow `{prefix}`")),
        Some(_) | None => Ok(text.to_owned()),
    }
}

/// Where the login routes are: a path that every proxy reads the same way.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let clean = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(legal);
    match text.strip_prefix('/') {
        None => Err("is not an absolute path: write it as `/auth`".to_owned()),
        Some("") => Err("`/` would take every path of the app: write it as `/auth`".to_owned()),
        Some(rest) if rest.ends_with('/') => Err("ends with a slash: leave it out".to_owned()),
        Some(rest) if !rest.split('/').all(clean) => {
            Err("is not a clean path: segments of letters, digits, `-`, `_`, `.`, `~`, none empty, `.` or `..`"
                .to_owned())
        }
        Some(_) if text.len() > 128 => Err("is longer than 128 characters".to_owned()),
        Some(_) => Ok(text.to_owned()),
    }
}
