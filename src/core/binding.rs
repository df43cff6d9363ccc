//! Optional binding of a session to its browser: what is compared, as truncated hashes.

use std::net::IpAddr;

use super::app::SessionSettings;
use super::session::Binding;

impl Binding {
    /// What a request shows of what the app binds sessions to.
    #[must_use]
    pub fn of(settings: &SessionSettings, user_agent: Option<&[u8]>, client: Option<IpAddr>) -> Self {
        Self {
            user_agent: settings.bind_user_agent.then(|| hash(user_agent.unwrap_or_default())),
            // An address that nobody tells binds nothing: it would bind to "unknown", which another edge may know.
            ip_prefix: client.filter(|_| settings.bind_ip_prefix).map(|address| hash(&prefix(address))),
        }
    }

    /// Whether a request shows what the session was bound to. A session from before binding was configured,
    /// or with fewer things bound, is held to what it has.
    #[must_use]
    pub fn holds(&self, shown: &Self) -> bool {
        let same =
            |bound: Option<[u8; 16]>, shown: Option<[u8; 16]>| bound.is_none() || shown.is_none() || bound == shown;
        same(self.user_agent, shown.user_agent) && same(self.ip_prefix, shown.ip_prefix)
    }
}

/// The /24 of an IPv4 address, the /64 of an IPv6 address.
fn prefix(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets().into_iter().take(3).collect(),
        IpAddr::V6(v6) => v6.octets().into_iter().take(8).collect(),
    }
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
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
            absolute: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            bind_user_agent,
            bind_ip_prefix,
            on_bind_mismatch: BindMismatch::Reauthenticate,
        }
    }

    #[test]
    fn only_what_is_configured_is_compared() {
        let of = |agent: &str, ip: &str| Binding::of(&settings(true, true), Some(agent.as_bytes()), ip.parse().ok());
        assert!(of("a", "10.0.0.1").holds(&of("a", "10.0.0.200")));
        assert!(!of("a", "10.0.0.1").holds(&of("a", "10.0.1.1")));
        assert!(!of("a", "10.0.0.1").holds(&of("b", "10.0.0.1")));
        assert!(of("a", "2001:db8::1").holds(&of("a", "2001:db8::ffff")));
        let unbound = Binding::of(&settings(false, false), Some(b"x"), None);
        assert!(unbound.holds(&of("a", "10.0.0.1")) && of("a", "10.0.0.1").holds(&unbound));
    }
}
