//! Istio: the extension provider, who asks it, the way to the login routes, and Istio's own look at the tokens.

use std::collections::BTreeSet;

use super::kube::{self, Ports, Service, Site};
use super::place::{KubeObject, Label};
use super::yaml::Fragment;
use super::{Source, Unrenderable, timeouts};
use crate::config::{Config, ProviderConfig};
use crate::core::app::{Authorization, LoginMode};

/// What the configuration of coatcheck cannot tell.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Service in front of coatcheck.
    pub service: Service,
    /// The `networking.istio.io` Gateway through which browsers come.
    pub gateway: KubeObject,
    /// The label of that gateway's pods.
    pub selector: Label,
}

/// All of it, as documents of one YAML stream.
pub fn render(source: &Source<'_>, options: &Options) -> Result<String, Unrenderable> {
    source.check_upstreams()?;
    let ports = kube::ports(source.config)?;
    let sites = kube::sites(&source.config.apps)?;
    let mut out = mesh_config(source, options, &ports);
    out += &authorization_policy(options, &sites);
    for site in sites.iter().filter(|site| site.app.login.mode == LoginMode::Routed) {
        out += &virtual_service(source, options, &ports, site);
    }
    out += &peer_authentication(options, &ports);
    out += &destination_rule(options, &ports);
    out += &request_authentication(source.config, options);
    Ok(out)
}

fn mesh_config(source: &Source<'_>, options: &Options, ports: &Ports) -> String {
    let config = source.config;
    let in_band = config.apps.iter().filter(|app| app.login.mode == LoginMode::InBand);
    // One timeout for all checks of the provider, logins included.
    let slowest = in_band.map(|app| timeouts::login_in_band(config, app)).max();
    let waits = match slowest {
        Some(_) => include_str!("istio/waits_login.yaml"),
        None => include_str!("istio/waits_refresh.yaml"),
    };
    Fragment::new(include_str!("istio/mesh_config.yaml"))
        .note("version", env!("CARGO_PKG_VERSION"))
        .note("file", source.file)
        .lines("warnings", kube::warnings(source))
        .text("provider", options.service.name.as_str())
        .text("service", options.service.host())
        .number("grpc_port", ports.grpc)
        .seconds("timeout", timeouts::check(config).max(slowest.unwrap_or_default()))
        .lines("waits", Fragment::new(waits).done())
        .done()
}

fn authorization_policy(options: &Options, sites: &[Site<'_>]) -> String {
    at_gateway(include_str!("istio/authorization_policy.yaml"), options)
        .text("provider", options.service.name.as_str())
        .lines("rules", sites.iter().map(rule).collect::<String>() + &others(sites))
        .done()
}

fn rule(site: &Site<'_>) -> String {
    let prefix = &site.app.login.prefix;
    let template = match site.app.login.mode {
        LoginMode::Routed => include_str!("istio/rule_routed.yaml"),
        LoginMode::InBand => include_str!("istio/rule_in_band.yaml"),
    };
    Fragment::new(template)
        .note("app", &site.app.name)
        .texts("hosts", with_ports(site))
        .texts("paths", [prefix.clone(), format!("{prefix}/*")])
        .done()
}

/// Without this rule, a request for a host that no app has would pass unasked.
fn others(sites: &[Site<'_>]) -> String {
    Fragment::new(include_str!("istio/rule_others.yaml")).texts("hosts", sites.iter().flat_map(with_ports)).done()
}

/// Istio compares the whole Host header.
fn with_ports<'a>(site: &'a Site<'_>) -> impl Iterator<Item = String> + 'a {
    site.hosts.iter().flat_map(|host| [host.clone(), format!("{host}:*")])
}

fn virtual_service(source: &Source<'_>, options: &Options, ports: &Ports, site: &Site<'_>) -> String {
    let (upstream, port, placeholder) = match source.upstream(site.app) {
        Some((host, port)) => (host.to_string(), port.get(), String::new()),
        None => (
            format!("{name}.{name}.svc.cluster.local", name = site.name),
            80,
            format!(" # PLACEHOLDER: `--upstream {}=host:port`", site.app.name),
        ),
    };
    let prefix = &site.app.login.prefix;
    Fragment::new(include_str!("istio/virtual_service.yaml"))
        .note("app", &site.app.name)
        .text("name", format!("{}-{}", options.service.name, site.name))
        .text("namespace", options.gateway.namespace.as_str())
        .texts("hosts", &site.hosts)
        .text("gateway", format!("{}/{}", options.gateway.namespace, options.gateway.name))
        .text("prefix", prefix)
        .text("below", format!("{prefix}/"))
        .seconds("timeout", timeouts::login(source.config, site.app))
        .text("service", options.service.host())
        .number("http_port", ports.http)
        .text("upstream", upstream)
        .number("upstream_port", port)
        .note("placeholder", placeholder)
        .done()
}

fn peer_authentication(options: &Options, ports: &Ports) -> String {
    Fragment::new(include_str!("istio/peer_authentication.yaml"))
        .text("name", options.service.name.as_str())
        .text("namespace", options.service.namespace.as_str())
        .number("admin_port", ports.admin)
        .done()
}

fn destination_rule(options: &Options, ports: &Ports) -> String {
    Fragment::new(include_str!("istio/destination_rule.yaml"))
        .text("name", options.service.name.as_str())
        .text("namespace", options.service.namespace.as_str())
        .text("service", options.service.host())
        .number("grpc_port", ports.grpc)
        .number("http_port", ports.http)
        .done()
}

/// Nothing where no app gives its upstream a token.
fn request_authentication(config: &Config, options: &Options) -> String {
    let used = |token: Authorization| {
        let apps = config.apps.iter().filter(move |app| app.upstream.authorization == token);
        apps.map(|app| &*app.provider).collect::<BTreeSet<&str>>()
    };
    let of = |names: &BTreeSet<&str>, template: &'static str| -> String {
        let providers = config.providers.iter().filter(|provider| names.contains(provider.name.as_str()));
        providers.map(|provider| jwt_rule(template, provider)).collect()
    };
    let access = of(&used(Authorization::AccessToken), include_str!("istio/jwt_access.yaml"));
    let id = of(&used(Authorization::IdToken), include_str!("istio/jwt_id.yaml"));
    if access.is_empty() && id.is_empty() {
        return String::new();
    }
    let caveat = if access.is_empty() { "" } else { include_str!("istio/jwt_caveat.yaml") };
    at_gateway(include_str!("istio/request_authentication.yaml"), options)
        .lines("caveat", Fragment::new(caveat).done())
        .lines("rules", access + &id)
        .done()
}

fn jwt_rule(template: &'static str, provider: &ProviderConfig) -> String {
    Fragment::new(template).text("issuer", &provider.issuer).text("client", &provider.client_id).done()
}

/// A policy for the gateway's pods.
fn at_gateway(template: &'static str, options: &Options) -> Fragment {
    Fragment::new(template)
        .text("name", options.service.name.as_str())
        .text("namespace", options.gateway.namespace.as_str())
        .text("label", &options.selector.key)
        .text("value", &options.selector.value)
}
