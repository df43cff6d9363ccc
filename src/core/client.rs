//! The client of a request, as far as Envoy tells us: its address, and a short hint by which people recognise a
//! session in a list.

use std::net::{IpAddr, Ipv6Addr};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
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
