//! Envoy Gateway: a SecurityPolicy per app, the login route, and the policies of traffic around them.

use std::collections::BTreeSet;

use super::kube::{self, Ports, Service, Site};
use super::place::{Host, KubeName, KubeObject};
use super::yaml::Fragment;
use super::{Source, Unrenderable, policy_names, timeouts};
use crate::core::app::LoginMode;

/// What the configuration of coatcheck cannot tell.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Service in front of coatcheck.
    pub service: Service,
    /// The Gateway through which browsers come.
    pub gateway: KubeObject,
}

/// Everything that the documents of one app name.
struct Scene<'a> {
    source: &'a Source<'a>,
    options: &'a Options,
    ports: &'a Ports,
    site: &'a Site<'a>,
    backend: Backend,
}

/// The application's Service.
struct Backend {
    name: String,
    namespace: String,
    port: u16,
    placeholder: String,
}

/// All of it, as documents of one YAML stream.
pub fn render(source: &Source<'_>, options: &Options) -> Result<String, Unrenderable> {
    source.check_upstreams()?;
    let ports = kube::ports(source.config)?;
    let sites = kube::sites(&source.config.apps)?;
    let mut scenes = Vec::new();
    for site in &sites {
        scenes.push(Scene { source, options, ports: &ports, site, backend: backend(source, site)? });
    }
    let mut out = Fragment::new(include_str!("envoy_gateway/header.yaml"))
        .note("version", env!("CARGO_PKG_VERSION"))
        .note("file", source.file)
        .lines("warnings", kube::warnings(source))
        .done();
    out += &client_traffic_policy(options);
    out += &reference_grant(options, &scenes);
    out.extend(scenes.iter().map(app));
    Ok(out)
}

/// `web.shop:8080` is the Service `web` in the namespace `shop`.
fn backend(source: &Source<'_>, site: &Site<'_>) -> Result<Backend, Unrenderable> {
    let Some((host, port)) = source.upstream(site.app) else {
        let placeholder = format!(" # PLACEHOLDER: `--upstream {}=service.namespace:port`", site.app.name);
        return Ok(Backend { name: site.name.clone(), namespace: site.name.clone(), port: 80, placeholder });
    };
    let wrong = || Unrenderable::NotAService(site.app.name.to_string());
    let Host::Name(host) = host else { return Err(wrong()) };
    let mut labels = host.split('.');
    let mut label = || labels.next().and_then(|label| label.parse::<KubeName>().ok()).ok_or_else(wrong);
    let (name, namespace) = (label()?.to_string(), label()?.to_string());
    Ok(Backend { name, namespace, port: port.get(), placeholder: String::new() })
}

fn client_traffic_policy(options: &Options) -> String {
    Fragment::new(include_str!("envoy_gateway/client_traffic_policy.yaml"))
        .text("name", options.service.name.as_str())
        .text("namespace", options.gateway.namespace.as_str())
        .text("gateway", options.gateway.name.as_str())
        .done()
}

/// Nothing where every app lives beside coatcheck.
fn reference_grant(options: &Options, scenes: &[Scene<'_>]) -> String {
    let namespaces = scenes.iter().map(|scene| scene.backend.namespace.as_str());
    let others: BTreeSet<&str> = namespaces.filter(|one| *one != options.service.namespace.as_str()).collect();
    if others.is_empty() {
        return String::new();
    }
    let from = |namespace: &&str| {
        let template = "- { group: gateway.envoyproxy.io, kind: SecurityPolicy, namespace: <<namespace>> }\n";
        Fragment::new(template).text("namespace", namespace).done()
    };
    Fragment::new(include_str!("envoy_gateway/reference_grant.yaml"))
        .text("name", options.service.name.as_str())
        .text("namespace", options.service.namespace.as_str())
        .text("service", options.service.name.as_str())
        .lines("from", others.iter().map(from).collect::<String>())
        .done()
}

fn app(scene: &Scene<'_>) -> String {
    let own = match scene.site.app.login.mode {
        LoginMode::Routed => routed(scene),
        LoginMode::InBand => in_band(scene),
    };
    let name = scene.site.name.as_str();
    let route = to_application(route(include_str!("envoy_gateway/app_route.yaml"), scene, name), scene);
    let check = security_policy(scene, name)
        .seconds("timeout", timeouts::check(scene.source.config))
        .texts("triggers", ["connect-failure", "refused-stream", "reset", "unavailable"])
        .lines("comment", Fragment::new(include_str!("envoy_gateway/app_comment.yaml")).done())
        .lines("policies", policies(scene))
        .lines("body", "");
    route.done() + &check.done() + &own
}

fn routed(scene: &Scene<'_>) -> String {
    let namespace = scene.options.service.namespace.as_str();
    let name = format!("{}-{}-login", scene.options.service.name, scene.site.name);
    let login = route(include_str!("envoy_gateway/login_route.yaml"), scene, &name)
        .text("namespace", namespace)
        .text("service", scene.options.service.name.as_str())
        .seconds("timeout", timeouts::login(scene.source.config, scene.site.app))
        .number("http_port", scene.ports.http);
    let traffic = Fragment::new(include_str!("envoy_gateway/login_traffic_policy.yaml"))
        .text("name", &name)
        .text("namespace", namespace)
        .number("admin_port", scene.ports.admin);
    login.done() + &traffic.done()
}

fn in_band(scene: &Scene<'_>) -> String {
    let name = format!("{}-login", scene.site.name);
    let login = to_application(route(include_str!("envoy_gateway/in_band_route.yaml"), scene, &name), scene);
    let check = security_policy(scene, &name)
        .seconds("timeout", timeouts::login_in_band(scene.source.config, scene.site.app))
        .texts("triggers", ["connect-failure", "refused-stream"])
        .lines("comment", Fragment::new(include_str!("envoy_gateway/login_comment.yaml")).done())
        .lines("policies", "")
        .lines("body", Fragment::new(include_str!("envoy_gateway/body.yaml")).done());
    login.done() + &check.done()
}

/// An HTTPRoute of the app's hosts.
fn route(template: &'static str, scene: &Scene<'_>, name: &str) -> Fragment {
    let gateway = &scene.options.gateway;
    Fragment::new(template)
        .note("app", &scene.site.app.name)
        .text("name", name)
        .text("gateway", gateway.name.as_str())
        .text("gateway_namespace", gateway.namespace.as_str())
        .texts("hosts", &scene.site.hosts)
        .text("prefix", &scene.site.app.login.prefix)
}

/// In the application's namespace, to its Service.
fn to_application(route: Fragment, scene: &Scene<'_>) -> Fragment {
    let Backend { name, namespace, port, placeholder } = &scene.backend;
    route.text("namespace", namespace).text("service", name).number("port", *port).note("placeholder", placeholder)
}

fn security_policy(scene: &Scene<'_>, route: &str) -> Fragment {
    let service = &scene.options.service;
    Fragment::new(include_str!("envoy_gateway/security_policy.yaml"))
        .text("name", route)
        .text("namespace", &scene.backend.namespace)
        .text("route", route)
        .text("app", &scene.site.app.name)
        .text("service", service.name.as_str())
        .text("service_namespace", service.namespace.as_str())
        .number("grpc_port", scene.ports.grpc)
}

fn policies(scene: &Scene<'_>) -> String {
    let names = policy_names(scene.site.app);
    let Some(example) = names.first() else { return String::new() };
    Fragment::new(include_str!("envoy_gateway/policies.yaml"))
        .note("policies", names.join(", "))
        .note("example", example)
        .done()
}
