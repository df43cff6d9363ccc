//! What apps must not share: a host, and on one host name a cookie.

use crate::config::report::Scope;
use crate::core::app::Origin;

/// The origins and cookies of the apps so far.
#[derive(Default)]
pub(super) struct Seen {
    origins: Vec<(Origin, String)>,
    cookies: Vec<(String, String, String)>,
}

impl Seen {
    /// Adds an app; clashes are reported at the later one.
    pub(super) fn add(&mut self, origins: &[Origin], cookie: &str, at: &Scope<'_>) {
        let list_at = at.key("origin");
        for (index, origin) in origins.iter().enumerate() {
            let item = list_at.item(index);
            let origin_at = if item.is_written() { item } else { list_at.clone() };
            if let Some((_, first)) = self.origins.iter().find(|(known, _)| same_host(known, origin)) {
                origin_at.mistake(format!("`{}` is taken by {first}: a host belongs to one app", origin.authority()));
            }
            self.warn_of_cookies(origin, cookie, at);
            self.origins.push((origin.clone(), origin_at.path().to_owned()));
        }
        for origin in origins {
            self.cookies.push((host_name(origin).to_owned(), cookie.to_owned(), at.path().to_owned()));
        }
    }

    /// Cookies do not know ports (RFC 6265 §8.5): two apps on `localhost` would overwrite each other's.
    fn warn_of_cookies(&self, origin: &Origin, cookie: &str, at: &Scope<'_>) {
        let host = host_name(origin);
        let first = self.cookies.iter().find(|(known, name, _)| known == host && name == cookie);
        if let Some((_, _, first)) = first {
            at.key("cookie").key("name").warn(format!(
                "`{cookie}` is also the cookie of {first} on {host}, and cookies do not know ports: \
                 signing in to one signs out of the other; give each its own name"
            ));
        }
    }
}

/// Whether a `Host` header could mean either.
fn same_host(a: &Origin, b: &Origin) -> bool {
    a.matches_host(b.authority()) || b.matches_host(a.authority())
}

/// The host without its port.
fn host_name(origin: &Origin) -> &str {
    let authority = origin.authority();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}
