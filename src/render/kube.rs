//! What Istio and Envoy Gateway have in common: coatcheck behind a Service, apps by host name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::front;
use super::place::KubeName;
use super::yaml::Fragment;
use super::{Source, Unrenderable};
use crate::config::{Address, Config};
use crate::core::app::{App, Apps};

/// A namespace that endpoints leave within two looks of a load balancer.
const ENDPOINTS_SETTLE: std::time::Duration = std::time::Duration::from_secs(2);

/// The Service in front of coatcheck's replicas.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: KubeName,
    /// Its namespace.
    pub namespace: KubeName,
}

/// The ports of that Service: those of `listen`.
pub(super) struct Ports {
    pub(super) grpc: u16,
    pub(super) http: u16,
    pub(super) admin: u16,
}

/// An app, with what it is called in a cluster.
pub(super) struct Site<'a> {
    pub(super) app: &'a App,
    /// A Kubernetes name that no other app has.
    pub(super) name: String,
    /// Its host names, without addresses, which no gateway routes by.
    pub(super) hosts: Vec<String>,
}

impl Service {
    /// As Istio names it.
    pub(super) fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.namespace)
    }
}

pub(super) fn ports(config: &Config) -> Result<Ports, Unrenderable> {
    let port = |address: &Address, key| match address {
        Address::Unix(_) => Err(Unrenderable::UnixSocket(key)),
        Address::Tcp(address) if address.port() == 0 => Err(Unrenderable::AnyPort(key)),
        Address::Tcp(address) => Ok(address.port()),
    };
    let listen = &config.listen;
    Ok(Ports {
        grpc: port(&listen.grpc, "grpc")?,
        http: port(&listen.http, "http")?,
        admin: port(&listen.admin, "admin")?,
    })
}

pub(super) fn sites(apps: &Apps) -> Result<Vec<Site<'_>>, Unrenderable> {
    let mut taken = BTreeSet::new();
    apps.iter().map(|app| site(app, &mut taken)).collect()
}

fn site<'a>(app: &'a App, taken: &mut BTreeSet<String>) -> Result<Site<'a>, Unrenderable> {
    let is_name = |host: &&str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
    let hosts: BTreeSet<&str> = app.origins.iter().map(front::host).filter(is_name).collect();
    if hosts.is_empty() {
        return Err(Unrenderable::NoHostName(app.name.to_string()));
    }
    let label = label(&app.name);
    let numbered = (2..).map(|number| format!("{label}-{number}"));
    let name =
        std::iter::once(label.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(label.clone());
    taken.insert(name.clone());
    Ok(Site { app, name, hosts: hosts.into_iter().map(str::to_owned).collect() })
}

/// An app's name as a Kubernetes name, short enough for what comes before and after it.
fn label(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = name.chars().take(40).map(legal).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "app".to_owned() } else { label.to_owned() }
}

/// What will not work in a cluster the way the configuration is.
pub(super) fn warnings(source: &Source<'_>) -> String {
    let listen = &source.config.listen;
    let listeners = [("grpc", &listen.grpc), ("http", &listen.http), ("admin", &listen.admin)];
    let is_loopback = |address: &Address| match address {
        Address::Tcp(address) => address.ip().is_loopback(),
        Address::Unix(_) => false,
    };
    let inside: Vec<&str> = listeners.iter().filter(|(_, at)| is_loopback(at)).map(|(key, _)| *key).collect();
    let mut out = String::new();
    if !inside.is_empty() {
        let template = "#\n# WARNING: listen.<<keys>> is a loopback address, to which no Service leads. Make it 0.0.0.0 with the same port.\n";
        out += &Fragment::new(template).note("keys", inside.join(", listen.")).done();
    }
    let delay = source.config.shutdown.drain_delay;
    if delay < ENDPOINTS_SETTLE {
        let template = "#\n# WARNING: shutdown.drain_delay is <<delay>> ms: shorter than it takes until no request comes to a replica that stops. Make it 2s at\n# least, better 5s.\n";
        out += &Fragment::new(template).note("delay", delay.as_millis()).done();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apps_name_becomes_a_kubernetes_name() {
        for (name, expected) in [("shop", "shop"), ("My_Shop.v2", "my-shop-v2"), ("_", "app"), ("-a-", "a")] {
            assert_eq!(label(name), expected);
        }
    }
}
