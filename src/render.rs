//! What stands in front: a configuration's counterpart for Envoy, Istio or Envoy Gateway, as text.
//!
//! Names, ports, paths and timeouts come out of the [`Config`] that `serve` runs on, so both sides agree by
//! construction. Pure: configuration and options in, YAML with comments out; the same in, the same out. Prints no
//! secret: the templates have no hole that one would fit into.

pub mod envoy;
pub mod envoy_gateway;
pub mod istio;
pub mod place;

mod front;
mod kube;
mod timeouts;
mod yaml;

use crate::config::Config;
use crate::core::app::App;
use place::{Host, Port, Upstream};

pub use kube::Service;

/// What every target needs.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The configuration, without mistakes.
    pub config: &'a Config,
    /// Its file, for the comment at the top.
    pub file: &'a str,
    /// Where the applications are, by app. Placeholders for those that are not named.
    pub upstreams: &'a [Upstream],
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unrenderable {
    /// The command line names an app that the configuration does not have.
    #[error("--upstream {name}=…: the configuration has no app `{name}`; it has {known}")]
    UnknownApp {
        /// As written.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Two places for one app.
    #[error("--upstream {0}=… is there twice: give one place for each app")]
    TwoUpstreams(String),
    /// The port is chosen at each start.
    #[error("listen.{0} has port 0, which the system chooses at each start: give it a number that can be printed here")]
    AnyPort(&'static str),
    /// A Service cannot lead to it.
    #[error("listen.{0} is a Unix socket, to which no Kubernetes Service leads: make it `0.0.0.0:PORT`")]
    UnixSocket(&'static str),
    /// Envoy Gateway's routes lead to Services.
    #[error("--upstream {0}=…: write it as `service.namespace:port` here")]
    NotAService(String),
    /// Gateways route by host name.
    #[error("the app `{0}` has no origin with a host name that a gateway could route by")]
    NoHostName(String),
}

impl Source<'_> {
    /// Every `--upstream` must mean exactly one app.
    fn check_upstreams(&self) -> Result<(), Unrenderable> {
        for (index, one) in self.upstreams.iter().enumerate() {
            if self.config.apps.by_name(&one.app).is_none() {
                let known: Vec<&str> = self.config.apps.iter().map(|app| &*app.name).collect();
                return Err(Unrenderable::UnknownApp { name: one.app.clone(), known: known.join(", ") });
            }
            if self.upstreams.iter().take(index).any(|other| other.app == one.app) {
                return Err(Unrenderable::TwoUpstreams(one.app.clone()));
            }
        }
        Ok(())
    }

    /// Where an app's application is, if it was said.
    fn upstream(&self, app: &App) -> Option<(&Host, Port)> {
        self.upstreams.iter().find(|one| *one.app == *app.name).map(|one| (&one.host, one.port))
    }
}

/// The policies that a route may name, in a fixed order.
fn policy_names(app: &App) -> Vec<&str> {
    let mut names: Vec<&str> = app.policies.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
