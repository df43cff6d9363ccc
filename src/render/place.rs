//! Places that the command line names: hosts, ports, and the names of Kubernetes objects. Parsed once, here.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::str::FromStr;

/// A TCP port that something can be reached at: not 0.
pub type Port = std::num::NonZeroU16;

/// Where something is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A DNS name, resolved by Envoy.
    Name(String),
}

/// Where an app's application is: `shop=127.0.0.1:3000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The app's name.
    pub app: String,
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: Port,
}

/// The name of a Kubernetes object or namespace (RFC 1123 label).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeName(String);

/// An object in a namespace: `istio-ingress/public`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeObject {
    /// Its namespace.
    pub namespace: KubeName,
    /// Its name.
    pub name: KubeName,
}

/// A label that selects pods: `istio=ingress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Display for Host {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::Ip(ip));
        }
        // Only digits and dots is a mistyped address, not a name.
        let is_name = text.len() <= 253 && text.split('.').all(is_label) && text.contains(|c: char| c.is_alphabetic());
        let name = || Self::Name(text.to_ascii_lowercase());
        is_name.then(name).ok_or("is not a host: write an IP address or a DNS name")
    }
}

impl FromStr for Upstream {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let example = "write it as `app=host:port`, such as `shop=127.0.0.1:3000`";
        let (app, place) = text.split_once('=').ok_or(example)?;
        let (host, port) = place.rsplit_once(':').ok_or(example)?;
        if matches!(host.parse::<IpAddr>(), Ok(IpAddr::V6(_))) {
            return Err("put an IPv6 address into brackets: `shop=[::1]:3000`");
        }
        Ok(Self { app: app.to_owned(), host: host.parse()?, port: port.parse().map_err(|_| example)? })
    }
}

impl KubeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for KubeName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KubeName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = is_label(text) && !text.contains(|c: char| c.is_ascii_uppercase());
        legal
            .then(|| Self(text.to_owned()))
            .ok_or("is not a Kubernetes name: lower-case letters, digits and inner `-`, at most 63")
    }
}

impl FromStr for KubeObject {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = text.split_once('/').ok_or("write it as `namespace/name`")?;
        Ok(Self { namespace: namespace.parse()?, name: name.parse()? })
    }
}

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or("write it as `key=value`")?;
        let legal = |part: &str, more: &str| {
            !part.is_empty()
                && part.len() <= 253
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c) || more.contains(c))
        };
        let label = || Self { key: key.to_owned(), value: value.to_owned() };
        (legal(key, "/") && legal(value, "")).then(label).ok_or("is not a label: letters, digits, `-`, `_` and `.`")
    }
}

/// RFC 1123 §2.1: letters, digits and inner hyphens.
fn is_label(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(legal) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_or_refused() {
        let upstream = |text: &str| text.parse::<Upstream>().map(|it| format!("{} {} {}", it.app, it.host, it.port));
        assert_eq!(upstream("shop=127.0.0.1:3000").unwrap(), "shop 127.0.0.1 3000");
        assert_eq!(upstream("shop=[::1]:3000").unwrap(), "shop ::1 3000");
        assert_eq!(upstream("a.b=Web.shop.svc:80").unwrap(), "a.b web.shop.svc 80");
        for wrong in [
            "shop",
            "shop=",
            "shop=:1",
            "shop=h",
            "shop=h:0",
            "shop=h:70000",
            "shop=::1:80",
            "s=1.2.3:8",
            "s=a_b:1",
            "s=\n:1",
        ] {
            assert!(upstream(wrong).is_err(), "{wrong}");
        }
        assert_eq!("[::1]".parse::<Host>(), "::1".parse::<Host>());
        for wrong in ["", "a b", "1.2.3.4.5", "-a", "a..b", "host:1"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
        assert!("istio-ingress/public".parse::<KubeObject>().is_ok());
        for wrong in ["public", "A/b", "a/", "/b", "a/b/c", "a/b.c", "-a/b"] {
            assert!(wrong.parse::<KubeObject>().is_err(), "{wrong}");
        }
        assert!("app.kubernetes.io/name=gateway".parse::<Label>().is_ok());
        for wrong in ["istio", "=a", "a=", "a=b c", "a=b=c"] {
            assert!(wrong.parse::<Label>().is_err(), "{wrong}");
        }
    }
}
