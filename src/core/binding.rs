//! What a session may be bound to (`session.bind`): the browser's `User-Agent` and the client's address prefix,
//! as truncated hashes. Also the short hint by which people recognise a session in a list.

use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};

use super::app::SessionSettings;
use super::session::Binding;

impl Binding {
    /// What a request shows of its client, as far as the app binds to it. An absent `User-Agent` counts as an
    /// empty one; an address that is not known binds nothing.
    #[must_use]
    pub fn of(settings: &SessionSettings, user_agent: Option<&[u8]>, client_ip: Option<IpAddr>) -> Self {
        Self {
            user_agent: settings.bind_user_agent.then(|| hash(b"user agent", user_agent.unwrap_or_default())),
            ip_prefix: client_ip.filter(|_| settings.bind_ip_prefix).map(|ip| hash(b"ip prefix", &prefix(ip))),
        }
    }

    /// Whether a session with this binding may be used by a client that shows `shown`. What the session is not
    /// bound to does not matter; what it is bound to must be shown, and be the same.
    #[must_use]
    pub fn holds(&self, settings: &SessionSettings, shown: &Self) -> bool {
        let agent = !settings.bind_user_agent || self.user_agent.is_none() || self.user_agent == shown.user_agent;
        let address = !settings.bind_ip_prefix || self.ip_prefix.is_none() || self.ip_prefix == shown.ip_prefix;
        agent && address
    }
}

/// The client's address as Envoy tells it: `x-envoy-external-address`, which Envoy writes itself, else the last
/// entry of `X-Forwarded-For`, the one that the nearest proxy appended. Earlier entries are anybody's words.
#[must_use]
pub fn client_ip(external: Option<&[u8]>, forwarded_for: Option<&[u8]>) -> Option<IpAddr> {
    external.and_then(address).or_else(|| {
        let last = forwarded_for?.rsplit(|byte| *byte == b',').next()?;
        address(last)
    })
}

/// A short hint for people: browser family and address prefix.
#[must_use]
pub fn client_hint(user_agent: Option<&[u8]>, client_ip: Option<IpAddr>) -> String {
    // In this order: Edge and Opera also say Chrome, Chrome also says Safari.
    const FAMILIES: [(&str, &str); 7] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    let agent = String::from_utf8_lossy(user_agent.unwrap_or_default());
    let family = FAMILIES.iter().find(|(mark, _)| agent.contains(mark)).map_or("other browser", |(_, name)| name);
    match client_ip.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => {
            let [a, b, c, _] = ip.octets();
            format!("{family}, {a}.{b}.{c}.0/24")
        }
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{family}, {}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        None => family.to_owned(),
    }
}

fn address(text: &[u8]) -> Option<IpAddr> {
    let ip: IpAddr = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    Some(ip.to_canonical())
}

/// The /24 of an IPv4 address, the /64 of an IPv6 address.
fn prefix(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().into_iter().take(3).collect(),
        IpAddr::V6(ip) => ip.octets().into_iter().take(8).collect(),
    }
}

fn hash(purpose: &[u8], value: &[u8]) -> [u8; 16] {
    let digest = digest(&SHA256, &[purpose, b"\0", value].concat());
    let mut short = [0_u8; 16];
    short.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::app::BindMismatch;

    fn settings(bind_user_agent: bool, bind_ip_prefix: bool) -> SessionSettings {
        SessionSettings {
            absolute: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            bind_user_agent,
            bind_ip_prefix,
            on_bind_mismatch: BindMismatch::Reauthenticate,
        }
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_session_holds_for_the_same_browser_and_the_same_network() {
        let bound = settings(true, true);
        let session = Binding::of(&bound, Some(b"Firefox"), ip("192.0.2.7"));
        assert!(session.holds(&bound, &Binding::of(&bound, Some(b"Firefox"), ip("192.0.2.200"))));
        assert!(session.holds(&bound, &Binding::of(&bound, Some(b"Firefox"), ip("::ffff:192.0.2.7"))));
        assert!(!session.holds(&bound, &Binding::of(&bound, Some(b"Chrome"), ip("192.0.2.7"))));
        assert!(!session.holds(&bound, &Binding::of(&bound, Some(b"Firefox"), ip("198.51.100.7"))));
        assert!(!session.holds(&bound, &Binding::of(&bound, None, ip("192.0.2.7"))));
        assert!(!session.holds(&bound, &Binding::of(&bound, Some(b"Firefox"), None)));
    }

    #[test]
    fn binding_switched_on_later_ends_no_session_and_switched_off_binds_no_more() {
        let (bound, free) = (settings(true, true), settings(false, false));
        assert!(Binding::default().holds(&bound, &Binding::of(&bound, Some(b"x"), ip("192.0.2.7"))));
        let session = Binding::of(&bound, Some(b"x"), ip("192.0.2.7"));
        assert!(session.holds(&free, &Binding::of(&free, Some(b"y"), None)));
        assert_eq!(Binding::of(&free, Some(b"x"), ip("192.0.2.7")), Binding::default());
    }

    #[test]
    fn the_address_is_the_one_the_nearest_proxy_saw() {
        let forwarded: &[u8] = b"6.6.6.6, 192.0.2.7";
        assert_eq!(client_ip(None, Some(forwarded)), ip("192.0.2.7"));
        assert_eq!(client_ip(Some(b"203.0.113.9"), Some(forwarded)), ip("203.0.113.9"));
        assert_eq!(client_ip(None, Some(b"6.6.6.6, nonsense")), None);
        assert_eq!(client_ip(None, None), None);
    }

    #[test]
    fn a_hint_names_family_and_network_only() {
        let edge = b"Mozilla/5.0 AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0";
        assert_eq!(client_hint(Some(edge), ip("192.0.2.7")), "Edge, 192.0.2.0/24");
        assert_eq!(client_hint(None, ip("2001:db8:1:2:3::4")), "other browser, 2001:db8:1:2::/64");
    }
}
