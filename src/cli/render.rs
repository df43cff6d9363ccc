//! `coatcheck render`: options in, the text of the library's `render` out.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use coatcheck::config::Environment;
use coatcheck::render::envoy::{self, Certificate};
use coatcheck::render::place::{Host, KubeName, KubeObject, Label, Upstream};
use coatcheck::render::{Service, Source, Unrenderable, envoy_gateway, istio};

use super::{ConfigFile, complain, load, print};

const ENVOY_MORE: &str = "\
Examples:
  coatcheck render envoy -c coatcheck.yaml --upstream shop=127.0.0.1:3000 > envoy.yaml
  envoy --mode validate -c envoy.yaml && envoy -c envoy.yaml

There is a listener for each scheme and port that the apps' origins name, and a cluster for each listener of coatcheck.";

const ISTIO_MORE: &str = "\
Example:
  coatcheck render istio -c coatcheck.yaml --gateway istio-ingress/public --upstream shop=web.shop.svc.cluster.local:80

The first document is for istiod (`meshConfig`), the others are for `kubectl apply`.";

const GATEWAY_MORE: &str = "\
Example:
  coatcheck render envoy-gateway -c coatcheck.yaml --gateway gateways/public --upstream shop=web.shop:80 | kubectl apply -f -";

#[derive(Debug, Args)]
pub(super) struct Render {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// A complete Envoy bootstrap: listeners, routes, ext_authz filter, clusters
    #[command(after_help = ENVOY_MORE)]
    Envoy(EnvoyOptions),
    /// For Istio: meshConfig, AuthorizationPolicy, VirtualService, DestinationRule, RequestAuthentication
    #[command(after_help = ISTIO_MORE)]
    Istio(IstioOptions),
    /// For Envoy Gateway: SecurityPolicy, HTTPRoute, ReferenceGrant and traffic policies
    #[command(after_help = GATEWAY_MORE)]
    EnvoyGateway(GatewayOptions),
}

#[derive(Debug, Args)]
struct EnvoyOptions {
    #[command(flatten)]
    common: Common,
    /// Where Envoy reaches coatcheck, where `listen` has 0.0.0.0 or [::]
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    address: Host,
    /// Certificate chain of the https listeners, a path on Envoy's machine
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,
}

#[derive(Debug, Args)]
struct IstioOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    service: ServiceOptions,
    /// The networking.istio.io Gateway through which browsers come; its pods are in the same namespace
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "istio-ingress/public")]
    gateway: KubeObject,
    /// The label of that gateway's pods
    #[arg(long, value_name = "KEY=VALUE", default_value = "istio=ingress")]
    selector: Label,
}

#[derive(Debug, Args)]
struct GatewayOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    service: ServiceOptions,
    /// The Gateway through which browsers come
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "gateways/public")]
    gateway: KubeObject,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    file: ConfigFile,
    /// Where the application of an app is; repeat it for each app [default: a placeholder]
    #[arg(long, value_name = "APP=HOST:PORT")]
    upstream: Vec<Upstream>,
}

#[derive(Debug, Args)]
struct ServiceOptions {
    /// The namespace of coatcheck's Service
    #[arg(long, value_name = "NAME", default_value = "coatcheck")]
    namespace: KubeName,
    /// The name of coatcheck's Service
    #[arg(long, value_name = "NAME", default_value = "coatcheck")]
    service: KubeName,
}

/// Prints it, or every mistake of the configuration.
pub(super) fn run(render: &Render, environment: &dyn Environment) -> ExitCode {
    let common = render.target.common();
    let Some((config, warnings)) = load(&common.file, environment) else { return ExitCode::FAILURE };
    for warning in warnings.iter() {
        complain(&format_args!("warning: {warning}"));
    }
    let file = common.file.path(environment);
    let file = file.to_string_lossy();
    match render.target.text(&Source { config: &config, file: &file, upstreams: &common.upstream }) {
        Ok(text) => print(&text.trim_end()),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &Unrenderable) -> ExitCode {
    complain(&format_args!("coatcheck: {error}"));
    match error {
        Unrenderable::UnknownApp { .. } | Unrenderable::TwoUpstreams(_) | Unrenderable::NotAService(_) => {
            ExitCode::from(2)
        }
        Unrenderable::AnyPort(_) | Unrenderable::UnixSocket(_) | Unrenderable::NoHostName(_) => ExitCode::FAILURE,
    }
}

impl Target {
    fn common(&self) -> &Common {
        match self {
            Self::Envoy(options) => &options.common,
            Self::Istio(options) => &options.common,
            Self::EnvoyGateway(options) => &options.common,
        }
    }

    fn text(&self, source: &Source<'_>) -> Result<String, Unrenderable> {
        match self {
            Self::Envoy(options) => envoy::render(source, &options.chosen()),
            Self::Istio(options) => istio::render(source, &options.chosen()),
            Self::EnvoyGateway(options) => envoy_gateway::render(source, &options.chosen()),
        }
    }
}

impl EnvoyOptions {
    fn chosen(&self) -> envoy::Options {
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        let certificate = files.map(|(chain, key)| Certificate { chain, key });
        envoy::Options { address: self.address.clone(), certificate }
    }
}

impl IstioOptions {
    fn chosen(&self) -> istio::Options {
        let service = self.service.chosen();
        istio::Options { service, gateway: self.gateway.clone(), selector: self.selector.clone() }
    }
}

impl GatewayOptions {
    fn chosen(&self) -> envoy_gateway::Options {
        envoy_gateway::Options { service: self.service.chosen(), gateway: self.gateway.clone() }
    }
}

impl ServiceOptions {
    fn chosen(&self) -> Service {
        Service { name: self.service.clone(), namespace: self.namespace.clone() }
    }
}
