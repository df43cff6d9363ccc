//! `store` with `kind: redis`: the URL and what goes with it.

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::secret::Secret;
use super::span;
use crate::config::raw::Span;
use crate::config::raw::store::{Store, Tls};
use crate::config::report::Scope;
use crate::config::source::Files;
use crate::config::{RedisConfig, TlsConfig};

pub(super) fn redis(raw: Store, at: &Scope<'_>, files: &Files) -> Option<RedisConfig> {
    let location = location(raw.url.as_ref(), &at.key("url"));
    let password = Secret { names: ("password", "password_file"), value: raw.password, file: raw.password_file };
    let password = password.read(at, files);
    let prefix = prefix(raw.prefix, &at.key("prefix"));
    let limit = |raw: Option<Span>, name: &str, default: &str, max: &str| {
        span(&raw.unwrap_or_else(|| default.into()), &at.key(name), ("1ms", max))
    };
    let response_timeout = limit(raw.response_timeout, "response_timeout", "250ms", "10s");
    let connect_timeout = limit(raw.connect_timeout, "connect_timeout", "250ms", "30s");
    let tls_at = at.key("tls");
    let tls = tls(raw.tls.unwrap_or_default(), &tls_at, files);
    let location = location?;
    if !location.tls && tls_at.is_written() {
        tls_at.mistake("only with a rediss:// URL: write `url: rediss://…`, or remove this key");
    }
    if !location.tls && !location.loopback {
        at.key("url")
            .warn("redis:// to another host is not encrypted: use rediss:// unless the network is yours alone");
    }
    for (name, twice) in [("username", location.username.is_some()), ("password", location.password.is_some())] {
        let key = at.key(name);
        let file = at.key("password_file");
        let other = if name == "password" && file.is_written() { file } else { key };
        if twice && other.is_written() {
            other.mistake("the URL has one too: keep one of them");
        }
    }
    let tls = tls?;
    Some(RedisConfig {
        tls: location.tls.then_some(tls),
        host: location.host,
        port: location.port,
        database: location.database,
        username: raw.username.or(location.username),
        password: password.ok()?.or(location.password),
        prefix: prefix?,
        connections: raw.connections.unwrap_or(4),
        response_timeout: response_timeout?,
        connect_timeout: connect_timeout?,
    })
}

/// What the URL says.
struct Location {
    host: String,
    port: u16,
    database: i64,
    tls: bool,
    loopback: bool,
    username: Option<String>,
    password: Option<SecretString>,
}

fn location(url: Option<&SecretString>, at: &Scope<'_>) -> Option<Location> {
    let Some(url) = url else {
        if !at.is_written() {
            at.mistake("is missing: say where Redis is, as `redis://127.0.0.1:6379/0`");
        }
        return None;
    };
    at.check(parse(url.expose_secret()))
}

/// The error does not repeat the URL: it may hold a password.
fn parse(text: &str) -> Result<Location, String> {
    let example = "write it as `redis://host:6379/0`, or `rediss://…` for TLS";
    if ["unix:", "redis+unix:", "redis+socket:"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(format!("Unix sockets are not supported for Redis: {example}"));
    }
    if !text.starts_with("redis://") && !text.starts_with("rediss://") {
        return Err(format!("is not a Redis URL: {example}"));
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error}): {example}"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("a Redis URL has no query or fragment here: {example}"));
    }
    let (host, loopback) = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => (decode(name)?, is_loopback(name)),
        Some(Host::Ipv4(ip)) => (ip.to_string(), ip.is_loopback()),
        Some(Host::Ipv6(ip)) => (ip.to_string(), ip.is_loopback()),
        Some(Host::Domain(_)) | None => return Err(format!("has no host: {example}")),
    };
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => number.parse::<u16>().map_err(|_| format!("the database is a number up to 65535: {example}"))?,
    };
    let username = Some(url.username()).filter(|name| !name.is_empty()).map(decode).transpose()?;
    let password = url.password().filter(|text| !text.is_empty()).map(decode).transpose()?.map(SecretString::from);
    let port = url.port().unwrap_or(6379);
    Ok(Location { host, port, database: database.into(), tls: url.scheme() == "rediss", loopback, username, password })
}

/// The URL parser leaves hosts of schemes that it does not know as they are: an IPv4 address is a name to it.
fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Undoes percent-encoding (RFC 3986 §2.1).
fn decode(text: &str) -> Result<String, String> {
    let wrong = || "the URL holds a broken percent-encoding".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn prefix(raw: Option<String>, at: &Scope<'_>) -> Option<String> {
    let prefix = raw.unwrap_or_else(|| "coatcheck:".to_owned());
    // Braces would move the hash tag that keeps a session's keys on one node of a cluster.
    let legal = |c: char| c.is_ascii_graphic() && c != '{' && c != '}';
    if prefix.len() > 64 || !prefix.chars().all(legal) {
        at.mistake("takes at most 64 printable ASCII characters without spaces, `{`, `}`");
        return None;
    }
    Some(prefix)
}

fn tls(raw: Tls, at: &Scope<'_>, files: &Files) -> Option<TlsConfig> {
    for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if at.key(one).is_written() && !at.key(other).is_written() {
            at.key(one).mistake(format!("needs `{other}` beside it"));
        }
    }
    let ca = raw.ca_file.map(|path| at.key("ca_file").check(files.certificates(&path)));
    let cert = raw.cert_file.map(|path| at.key("cert_file").check(files.certificates(&path)));
    let key = raw.key_file.map(|path| at.key("key_file").check(files.private_key(&path)));
    if matches!(ca, Some(None)) || matches!(cert, Some(None)) || matches!(key, Some(None)) {
        return None;
    }
    Some(TlsConfig { ca: ca.flatten(), cert: cert.flatten(), key: key.flatten() })
}
