//! A complete Envoy bootstrap: listeners from the origins, routes from the apps, clusters from `listen`.

mod clusters;
mod routes;

use super::front::{self, Front};
use super::place::Host;
use super::yaml::Fragment;
use super::{Source, Unrenderable, timeouts};
use crate::config::Config;
use crate::core::app::{App, LoginMode, Origin};

/// How often Envoy asks for health, in the clusters' fragments.
const HEALTH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// What the configuration of coatcheck cannot tell.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where Envoy reaches coatcheck, where that listens on all addresses.
    pub address: Host,
    /// The certificate of the https listeners. None: a placeholder.
    pub certificate: Option<Certificate>,
}

/// Paths on Envoy's machine.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The chain (PEM).
    pub chain: String,
    /// Its key (PEM).
    pub key: String,
}

/// The bootstrap.
pub fn render(source: &Source<'_>, options: &Options) -> Result<String, Unrenderable> {
    source.check_upstreams()?;
    let fragment = Fragment::new(include_str!("envoy/bootstrap.yaml"))
        .note("version", env!("CARGO_PKG_VERSION"))
        .note("file", source.file)
        .lines("overview", overview(source.config))
        .lines("warnings", warnings(source.config))
        .lines("listeners", listeners(source.config, options))
        .lines("clusters", clusters::clusters(source, options)?);
    Ok(fragment.done())
}

/// Where the routes of each app lead.
fn overview(config: &Config) -> String {
    let line = |app: &App| {
        let origins: Vec<&str> = app.origins.iter().map(Origin::as_str).collect();
        let own = match app.login.mode {
            LoginMode::Routed => "coatcheck's login routes (coatcheck_http)",
            LoginMode::InBand => "coatcheck's login routes, answered inside of the check (coatcheck_grpc)",
        };
        let template = "\
#   <<app>>: <<origins>>
#     <<prefix>>/... --> <<own>>
#     everything else --> ext_authz asks coatcheck (coatcheck_grpc), then the application (<<cluster>>)
";
        Fragment::new(template)
            .note("app", &app.name)
            .note("origins", origins.join(", "))
            .note("prefix", &app.login.prefix)
            .note("own", own)
            .note("cluster", clusters::name(app))
            .done()
    };
    config.apps.iter().map(|app| line(app)).collect()
}

fn warnings(config: &Config) -> String {
    let delay = config.shutdown.drain_delay;
    if delay >= 2 * HEALTH_INTERVAL {
        return String::new();
    }
    let template = "#\n# WARNING: shutdown.drain_delay is <<delay>> ms: less than two of the health checks below (every second). Envoy will send requests\n\
        # to a replica that has stopped listening already. Make it 2s at least.\n";
    Fragment::new(template).note("delay", delay.as_millis()).done()
}

fn listeners(config: &Config, options: &Options) -> String {
    let fronts = front::fronts(&config.apps);
    let mut out = String::new();
    for (front, sites) in &fronts {
        // The first is what most deployments have, and the name that dashboards know.
        let name = match front {
            _ if out.is_empty() => "public".to_owned(),
            Front::Tls(port) | Front::Plain(port) => format!("public_{port}"),
        };
        out += &listener(config, options, &name, *front, sites);
        out += "\n";
    }
    match (fronts.get(&Front::Tls(443)), fronts.contains_key(&Front::Plain(80))) {
        (Some(sites), false) => out + &redirect(sites),
        (Some(_), true) | (None, _) => out,
    }
}

fn listener(config: &Config, options: &Options, name: &str, front: Front, sites: &[(&App, Vec<&Origin>)]) -> String {
    let hosts: Vec<String> =
        sites.iter().map(|(app, origins)| routes::virtual_host(config, front, app, origins)).collect();
    let tracing = match config.telemetry.otlp_endpoint {
        Some(_) => include_str!("envoy/tracing.yaml"),
        None => "",
    };
    let (address, tls) = match front {
        Front::Tls(port) => (public(port), tls(options.certificate.as_ref())),
        Front::Plain(port) => (loopback(port, sites), String::new()),
    };
    Fragment::new(include_str!("envoy/listener.yaml"))
        .text("name", name)
        .lines("address", address)
        .lines("tracing", Fragment::new(tracing).done())
        .lines("virtual_hosts", hosts.join("\n"))
        .seconds("check_timeout", timeouts::check(config))
        .lines("tls", tls)
        .done()
}

fn public(port: u16) -> String {
    let template = "\
# The port of the origins. Where something in front maps ports, write the inner one. `\"::\"` with ipv4_compat for IPv6 too.
address:
  socket_address: { address: 0.0.0.0, port_value: <<port>> }
";
    Fragment::new(template).number("port", port).done()
}

/// `http://` origins are for this machine only, and so is their listener.
fn loopback(port: u16, sites: &[(&App, Vec<&Origin>)]) -> String {
    let origins = sites.iter().flat_map(|(_, origins)| origins.iter().copied());
    let addresses: Vec<String> = front::loopback(origins).iter().map(ToString::to_string).collect();
    let Some((first, others)) = addresses.split_first() else { return String::new() };
    let socket = |template, host: &String| Fragment::new(template).text("host", host).number("port", port).done();
    let mut out = socket(include_str!("envoy/socket.yaml"), first);
    if !others.is_empty() {
        out += "additional_addresses:\n";
        let template = "- address:\n    socket_address: { address: <<host>>, port_value: <<port>> }\n";
        out.extend(others.iter().map(|host| socket(template, host)));
    }
    out
}

fn tls(certificate: Option<&Certificate>) -> String {
    let placeholder = match certificate {
        Some(_) => "",
        None => include_str!("envoy/tls_placeholder.yaml"),
    };
    let (chain, key) = match certificate {
        Some(files) => (files.chain.as_str(), files.key.as_str()),
        None => ("/etc/envoy/tls/tls.crt", "/etc/envoy/tls/tls.key"),
    };
    Fragment::new(include_str!("envoy/tls.yaml"))
        .lines("placeholder", placeholder)
        .text("cert", chain)
        .text("key", key)
        .done()
}

fn redirect(sites: &[(&App, Vec<&Origin>)]) -> String {
    let hosts = sites.iter().flat_map(|(_, origins)| origins).flat_map(|origin| {
        let host = front::host(origin);
        [host.to_owned(), format!("{host}:80")]
    });
    Fragment::new(include_str!("envoy/redirect.yaml")).texts("domains", hosts).done()
}
