//! What traces and metrics have in common on their way to a collector: where it is, and how this process is described.

use super::{Env, TelemetryError};
use crate::config::TelemetryConfig;

/// One kind of data: each has variables of its own that go before the common ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Spans.
    Traces,
    /// Counters, gauges, histograms.
    Metrics,
}

/// A collector that takes a signal, OTLP over gRPC.
#[derive(Debug)]
pub struct Collector {
    /// Where it listens.
    pub endpoint: String,
    /// What describes this process: `service.name` and the attributes of the environment.
    pub attributes: Vec<(String, String)>,
}

impl Signal {
    const fn exporter(self) -> &'static str {
        match self {
            Self::Traces => "OTEL_TRACES_EXPORTER",
            Self::Metrics => "OTEL_METRICS_EXPORTER",
        }
    }

    const fn endpoint(self) -> &'static str {
        match self {
            Self::Traces => "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            Self::Metrics => "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        }
    }

    const fn protocol(self) -> &'static str {
        match self {
            Self::Traces => "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            Self::Metrics => "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        }
    }
}

impl Collector {
    /// From the config and the standard variables; `None` when no endpoint is known or the signal is turned off.
    pub(super) fn resolve(
        signal: Signal,
        config: &TelemetryConfig,
        env: Env<'_>,
    ) -> Result<Option<Self>, TelemetryError> {
        let is_off = set(env, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || set(env, signal.exporter()).is_some_and(|value| value == "none");
        if is_off {
            return Ok(None);
        }
        let variable = |name: &'static str| Some((name, set(env, name)?));
        let endpoint = config.otlp_endpoint.clone().map(|endpoint| ("telemetry.otlp_endpoint", endpoint));
        let endpoint =
            endpoint.or_else(|| variable(signal.endpoint())).or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let Some((place, endpoint)) = endpoint else {
            return Ok(None);
        };
        valid_endpoint(place, &endpoint)?;
        if config.otlp_endpoint.is_none() {
            speaks_grpc(signal, env)?;
        }
        Ok(Some(Self { endpoint, attributes: attributes(config, env)? }))
    }
}

/// A variable that holds something.
pub(super) fn set(env: Env<'_>, name: &str) -> Option<String> {
    env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Pairs `key=value`, separated by commas, the values percent-encoded as W3C Baggage asks.
pub(super) fn pairs(place: &'static str, env: Env<'_>) -> Result<Vec<(String, String)>, TelemetryError> {
    let text = set(env, place).unwrap_or_default();
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let why = || format!("the value of `{}` is not percent-encoded as it should be", key.trim());
        let value = percent_decode(value.trim()).ok_or_else(|| TelemetryError::Setting { place, why: why() })?;
        Ok((key.trim().to_owned(), value))
    });
    pairs.collect()
}

/// The exporter speaks gRPC without TLS: the collector is expected beside the process or inside the mesh. The text is
/// not repeated in the error, it may hold a password.
fn valid_endpoint(place: &'static str, endpoint: &str) -> Result<(), TelemetryError> {
    let why = match url::Url::parse(endpoint) {
        Ok(url) if url.scheme() == "https" => "https is not supported: use a collector in the same host, pod or mesh",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a user or password in the URL is not supported: use OTEL_EXPORTER_OTLP_HEADERS"
        }
        Ok(url) if url.scheme() == "http" && url.has_host() => return Ok(()),
        Ok(_) | Err(_) => "is not an http URL, as http://127.0.0.1:4317",
    };
    Err(TelemetryError::Setting { place, why: why.to_owned() })
}

/// An endpoint from the environment may be meant for OTLP over HTTP; sending gRPC there would fail for ever.
fn speaks_grpc(signal: Signal, env: Env<'_>) -> Result<(), TelemetryError> {
    for place in [signal.protocol(), "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        match set(env, place) {
            None => {}
            Some(protocol) if protocol == "grpc" => return Ok(()),
            Some(protocol) => {
                let why = format!("`{protocol}` is not supported: coatcheck sends OTLP over gRPC (`grpc`)");
                return Err(TelemetryError::Setting { place, why });
            }
        }
    }
    Ok(())
}

/// `OTEL_RESOURCE_ATTRIBUTES`, then the service's name: `OTEL_SERVICE_NAME`, the attribute, the config.
fn attributes(config: &TelemetryConfig, env: Env<'_>) -> Result<Vec<(String, String)>, TelemetryError> {
    let mut attributes = pairs("OTEL_RESOURCE_ATTRIBUTES", env)?;
    if let Some(name) = set(env, "OTEL_SERVICE_NAME") {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_owned(), name));
    }
    for (key, value) in [("service.name", config.service_name.as_str()), ("service.version", env!("CARGO_PKG_VERSION"))]
    {
        if !attributes.iter().any(|(present, _)| present == key) {
            attributes.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(attributes)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?, tail)
            }
            (b'%', _) => return None,
            (byte, tail) => (byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}
