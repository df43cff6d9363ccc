//! Where Envoy sends things: coatcheck's listeners, the applications, the collector.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::Url;

use super::super::place::Host;
use super::super::yaml::Fragment;
use super::super::{Source, Unrenderable};
use super::Options;
use crate::config::Address;
use crate::core::app::{App, LoginMode};

/// Where the application is, until somebody says it.
const PLACEHOLDER: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

/// How Envoy reaches one of coatcheck's listeners.
enum Reach {
    Tcp(Host, u16),
    Pipe(String),
}

/// All clusters.
pub(super) fn clusters(source: &Source<'_>, options: &Options) -> Result<String, Unrenderable> {
    let config = source.config;
    let grpc = reach(&config.listen.grpc, "grpc", options)?;
    let http = reach(&config.listen.http, "http", options)?;
    let admin = reach(&config.listen.admin, "admin", options)?;
    let mut out = cluster(include_str!("coatcheck_grpc.yaml"), &grpc).done();
    // With every app in band, nothing leads there.
    if config.apps.iter().any(|app| app.login.mode == LoginMode::Routed) {
        out += &login_routes(&http, &admin);
    }
    for app in config.apps.iter() {
        out += &application(source, app);
    }
    Ok(out + &collector(config.telemetry.otlp_endpoint.as_deref()))
}

/// An app's cluster. The prefix keeps it apart from ours.
pub(super) fn name(app: &App) -> String {
    format!("app_{}", app.name)
}

fn reach(address: &Address, key: &'static str, options: &Options) -> Result<Reach, Unrenderable> {
    match address {
        Address::Unix(path) => Ok(Reach::Pipe(path.to_string_lossy().into_owned())),
        Address::Tcp(address) if address.port() == 0 => Err(Unrenderable::AnyPort(key)),
        Address::Tcp(address) => Ok(Reach::Tcp(reachable(address, options), address.port())),
    }
}

fn reachable(address: &SocketAddr, options: &Options) -> Host {
    if address.ip().is_unspecified() { options.address.clone() } else { Host::Ip(address.ip()) }
}

fn login_routes(http: &Reach, admin: &Reach) -> String {
    let health = health(http, admin);
    let checks = match health {
        Some(_) => include_str!("health_checks.yaml"),
        None => include_str!("no_health_checks.yaml"),
    };
    cluster(include_str!("coatcheck_http.yaml"), http)
        .lines("health_address", health.unwrap_or_default())
        .lines("health_checks", Fragment::new(checks).done())
        .done()
}

/// Where Envoy asks for the health of the login routes; `None` if that is out of its reach.
fn health(http: &Reach, admin: &Reach) -> Option<String> {
    let Reach::Tcp(host, port) = admin else { return None };
    let is_here = |reach: &Reach| match reach {
        Reach::Tcp(Host::Ip(ip), _) => ip.is_loopback(),
        Reach::Tcp(Host::Name(_), _) => false,
        Reach::Pipe(_) => true,
    };
    match (http, host) {
        // Envoy resolves only the endpoint's own name.
        (Reach::Tcp(Host::Name(http), _), Host::Name(admin)) if http == admin => {
            Some(Fragment::new(include_str!("health_port.yaml")).number("port", *port).done())
        }
        (_, Host::Ip(_)) if is_here(http) || !is_here(admin) => {
            let address = Fragment::new(include_str!("health_address.yaml"));
            Some(address.text("host", host.to_string()).number("port", *port).done())
        }
        (_, Host::Ip(_) | Host::Name(_)) => None,
    }
}

fn application(source: &Source<'_>, app: &App) -> String {
    let (reach, placeholder) = match source.upstream(app) {
        Some((host, port)) => (Reach::Tcp(host.clone(), port.get()), String::new()),
        None => (
            Reach::Tcp(Host::Ip(PLACEHOLDER.0), PLACEHOLDER.1),
            format!(" PLACEHOLDER: `--upstream {}=host:port` says where it is.", app.name),
        ),
    };
    cluster(include_str!("app.yaml"), &reach)
        .note("app", &app.name)
        .note("placeholder", placeholder)
        .text("cluster", name(app))
        .done()
}

fn collector(endpoint: Option<&str>) -> String {
    let url = endpoint.and_then(|endpoint| Url::parse(endpoint).ok());
    let reach = url.as_ref().and_then(|url| {
        let host = url.host_str()?;
        let host = host.parse().unwrap_or_else(|_| Host::Name(host.to_owned()));
        Some(Reach::Tcp(host, url.port_or_known_default()?))
    });
    reach.map_or_else(String::new, |reach| cluster(include_str!("otlp.yaml"), &reach).done())
}

/// A cluster's fragment with its endpoint.
fn cluster(template: &'static str, reach: &Reach) -> Fragment {
    let address = match reach {
        Reach::Tcp(host, port) => {
            Fragment::new(include_str!("socket.yaml")).text("host", host.to_string()).number("port", *port)
        }
        Reach::Pipe(path) => Fragment::new(include_str!("pipe.yaml")).text("path", path),
    };
    let kind = match reach {
        Reach::Tcp(Host::Name(_), _) => "STRICT_DNS",
        Reach::Tcp(Host::Ip(_), _) | Reach::Pipe(_) => "STATIC",
    };
    Fragment::new(template).text("type", kind).lines("address", address.done())
}
