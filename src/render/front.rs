//! Where browsers arrive: one listener per scheme and port that the apps' origins name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::core::app::{App, Apps, Origin};

/// What a listener is for. TLS first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Front {
    /// `https://`, at this port.
    Tls(u16),
    /// `http://` of this machine, at this port.
    Plain(u16),
}

/// The listeners, and which apps with which of their origins are behind each, in the order of the configuration.
pub(super) fn fronts(apps: &Apps) -> BTreeMap<Front, Vec<(&App, Vec<&Origin>)>> {
    let mut fronts: BTreeMap<Front, Vec<(&App, Vec<&Origin>)>> = BTreeMap::new();
    for app in apps.iter() {
        for origin in &app.origins {
            let sites = fronts.entry(front(origin)).or_default();
            match sites.last_mut().filter(|(last, _)| last.name == app.name) {
                Some((_, origins)) => origins.push(origin),
                None => sites.push((app, vec![origin])),
            }
        }
    }
    fronts
}

fn front(origin: &Origin) -> Front {
    let port = host_and_port(origin).1;
    if is_tls(origin) { Front::Tls(port.unwrap_or(443)) } else { Front::Plain(port.unwrap_or(80)) }
}

fn is_tls(origin: &Origin) -> bool {
    origin.as_str().starts_with("https://")
}

/// What a `Host` header may hold for an origin (see [`Origin::matches_host`]).
pub(super) fn domains(origin: &Origin) -> Vec<String> {
    let authority = origin.authority().to_owned();
    match host_and_port(origin).1 {
        Some(_) => vec![authority],
        None => vec![format!("{authority}:{}", if is_tls(origin) { 443 } else { 80 }), authority],
    }
}

/// The host of an origin, brackets and all.
pub(super) fn host(origin: &Origin) -> &str {
    host_and_port(origin).0
}

/// Only an explicit port.
fn host_and_port(origin: &Origin) -> (&str, Option<u16>) {
    let authority = origin.authority();
    let split = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    split.map_or((authority, None), |(host, port)| (host, Some(port)))
}

/// Which addresses of this machine browsers will use for these loopback origins.
pub(super) fn loopback<'a>(origins: impl Iterator<Item = &'a Origin>) -> BTreeSet<IpAddr> {
    let address = |origin: &Origin| match host(origin).trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => IpAddr::V4(ip),
        Ok(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        Err(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    origins.map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_tells_its_listener_and_its_hosts() {
        let cases: [(&str, Front, &[&str]); 4] = [
            ("https://a.example", Front::Tls(443), &["a.example:443", "a.example"]),
            ("https://a.example:8443", Front::Tls(8443), &["a.example:8443"]),
            ("http://[::1]", Front::Plain(80), &["[::1]:80", "[::1]"]),
            ("http://[::1]:8080", Front::Plain(8080), &["[::1]:8080"]),
        ];
        for (text, expected, hosts) in cases {
            let origin = Origin::new(text.to_owned());
            assert_eq!(front(&origin), expected);
            assert_eq!(domains(&origin), hosts);
            assert!(hosts.iter().all(|host| origin.matches_host(host)));
        }
    }
}
