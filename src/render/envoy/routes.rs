//! A virtual host per app: its hosts, coatcheck's own routes, the application.

use super::super::front::{self, Front};
use super::super::yaml::Fragment;
use super::super::{policy_names, timeouts};
use super::clusters;
use crate::config::Config;
use crate::core::app::{App, LoginMode, Origin};

/// The app behind one listener.
pub(super) fn virtual_host(config: &Config, front: Front, app: &App, origins: &[&Origin]) -> String {
    let hsts = match front {
        Front::Tls(_) => include_str!("hsts.yaml"),
        Front::Plain(_) => "",
    };
    Fragment::new(include_str!("virtual_host.yaml"))
        .text("app", &app.name)
        .texts("domains", origins.iter().flat_map(|origin| front::domains(origin)))
        .lines("hsts", Fragment::new(hsts).done())
        .lines("own", own(config, app))
        .lines("policies", policies(app))
        .text("cluster", clusters::name(app))
        .done()
}

/// The login routes, in the app's mode.
fn own(config: &Config, app: &App) -> String {
    let (note, action, filter) = match app.login.mode {
        LoginMode::Routed => (
            include_str!("routed_note.yaml"),
            Fragment::new(include_str!("routed_action.yaml")).seconds("login_timeout", timeouts::login(config, app)),
            Fragment::new(include_str!("routed_filter.yaml")),
        ),
        LoginMode::InBand => (
            include_str!("in_band_note.yaml"),
            Fragment::new(include_str!("in_band_action.yaml")),
            Fragment::new(include_str!("in_band_filter.yaml"))
                .seconds("login_timeout", timeouts::login_in_band(config, app)),
        ),
    };
    let routes = Fragment::new(include_str!("own_routes.yaml"))
        .text("callback", format!("{}/callback", app.login.prefix))
        .text("prefix", &app.login.prefix)
        .lines("action", action.done())
        .lines("filter", filter.done());
    Fragment::new(note).done() + &routes.done()
}

/// How a route names a policy, where there are any.
fn policies(app: &App) -> String {
    let names = policy_names(app);
    let Some(example) = names.first() else { return String::new() };
    Fragment::new(include_str!("policies.yaml"))
        .note("policies", names.join(", "))
        .note("cluster", clusters::name(app))
        .note("example", example)
        .done()
}
