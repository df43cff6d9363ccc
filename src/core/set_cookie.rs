//! The cookies we set. Every one is `Secure; HttpOnly; Path=/` without a `Domain` (RFC 10017 §6.1.3.2): there
//! is no way to build another.

use std::fmt;
use std::time::Duration;

use super::app::{App, SameSite};

/// A `Set-Cookie` header to be.
#[derive(Clone, PartialEq, Eq)]
pub struct SetCookie {
    name: String,
    value: String,
    same_site: SameSite,
    max_age: Option<Duration>,
}

impl SetCookie {
    /// The session cookie: no `Max-Age`, because the server decides when a session ends.
    #[must_use]
    pub fn session(app: &App, value: String) -> Self {
        Self { name: app.cookie.name.clone(), value, same_site: app.cookie.same_site, max_age: None }
    }

    /// Takes the session cookie away, with the attributes it was set with.
    #[must_use]
    pub fn clear_session(app: &App) -> Self {
        Self { max_age: Some(Duration::ZERO), ..Self::session(app, String::new()) }
    }

    /// A cookie that has to survive the way back from the provider: `Lax`, and gone after `max_age`.
    #[must_use]
    pub const fn round_trip(name: String, value: String, max_age: Duration) -> Self {
        Self { name, value, same_site: SameSite::Lax, max_age: Some(max_age) }
    }

    /// Takes a [`SetCookie::round_trip`] cookie away.
    #[must_use]
    pub const fn clear_round_trip(name: String) -> Self {
        Self::round_trip(name, String::new(), Duration::ZERO)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The header's value. Name and value are ours (a configured token, base64url): nothing to escape.
    #[must_use]
    pub fn header(&self) -> String {
        let same_site = match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
        };
        let Self { name, value, .. } = self;
        let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}");
        match self.max_age {
            None => cookie,
            Some(Duration::ZERO) => format!("{cookie}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            Some(age) => format!("{cookie}; Max-Age={}", age.as_secs()),
        }
    }
}

/// Prints the name only.
impl fmt::Debug for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCookie({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_is_taken_away_keeps_its_attributes() {
        let set = SetCookie::round_trip("__Host-x.o".into(), "v".into(), Duration::from_secs(600));
        assert_eq!(set.header(), "__Host-x.o=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600");
        let clear = SetCookie::clear_round_trip("__Host-x.o".into());
        let expected =
            "__Host-x.o=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(clear.header(), expected);
    }

    #[test]
    fn a_value_is_never_printed() {
        let set = SetCookie::round_trip("name".into(), "secret-value".into(), Duration::from_secs(1));
        assert_eq!(format!("{set:?}"), "SetCookie(name)");
    }
}
