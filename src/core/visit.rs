//! A request to one of our own routes: the app it is for, and what it shows.

use std::sync::Arc;

use super::app::{App, Origin};
use super::cookie::SessionCookie;
use super::decide::TicketRefusal;
use super::keyring::Keyring;
use super::request::Request;
use super::session::Binding;
use super::ticket::Ticket;

/// A request to one of our own routes.
#[derive(Debug, Clone)]
pub struct Visit<'a> {
    /// The app that the host names.
    pub app: &'a Arc<App>,
    /// The origin of it that the host names.
    pub origin: &'a Origin,
    /// The request.
    pub request: Request<'a>,
}

impl Visit<'_> {
    /// The ticket, when the request shows exactly one that we issued for this app. Asks no store.
    pub fn ticket(&self, keyring: &Keyring) -> Result<Option<Ticket>, TicketRefusal> {
        match self.request.cookies.session(&self.app.cookie.name) {
            SessionCookie::Absent => Ok(None),
            SessionCookie::Ambiguous => Err(TicketRefusal::Ambiguous),
            SessionCookie::One(value) => {
                Ticket::parse(value, &self.app.name, keyring).map(Some).ok_or(TicketRefusal::Malformed)
            }
        }
    }

    /// Up to `most` different tickets that we issued for this app, however many session cookies the request shows: for
    /// ending what they open, never for trusting one of them. Asks no store.
    #[must_use]
    pub fn all_tickets(&self, keyring: &Keyring, most: usize) -> Vec<Ticket> {
        let name = self.app.cookie.name.as_bytes();
        let values = self.request.cookies.pairs().filter(|(known, _)| *known == name).map(|(_, value)| value);
        let mut tickets: Vec<Ticket> = Vec::new();
        for ticket in values.filter_map(|value| Ticket::parse(value, &self.app.name, keyring)) {
            if tickets.len() == most {
                break;
            }
            if !tickets.iter().any(|known| known.session_id() == ticket.session_id()) {
                tickets.push(ticket);
            }
        }
        tickets
    }

    /// The value of a cookie of ours, by its exact name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&[u8]> {
        self.request.cookies.pairs().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value)
    }

    /// `User-Agent`.
    #[must_use]
    pub fn user_agent(&self) -> Option<&[u8]> {
        self.request.headers.single("user-agent").map(str::as_bytes)
    }

    /// What a session that begins here is bound to.
    #[must_use]
    pub fn binding(&self) -> Binding {
        Binding::of(&self.app.session, self.user_agent(), self.request.client)
    }

    /// An absolute URL of ours, on the configured origin.
    #[must_use]
    pub fn own_url(&self, route: &str) -> String {
        format!("{}{}{route}", self.origin.as_str(), self.app.login.prefix)
    }
}
