//! From the file to the final types. Every part is built as far as it goes, so that all mistakes are found in
//! one run; a part with a mistake is `None`, and the mistake has been reported.

mod app;
mod provider;
mod redis;
mod rules;
mod secret;
mod store;

use std::path::Path;

use super::raw::{Limits, Listen as RawListen, LogFormat as RawLogFormat, Root, Shutdown, Span, Telemetry};
use super::report::{ConfigErrors, Report, Scope, Warnings};
use super::shape::Shape;
use super::source::{Environment, Files};
use super::{Address, Config, LimitsConfig, Listen, LogFormat, ShutdownConfig, TelemetryConfig, tree, value};

/// A mistake was reported already; who gets this only has to go without the value.
#[derive(Debug, Clone, Copy)]
struct Reported;

/// Reads a configuration file with the secrets it names. Every mistake is in the error, not just the first.
pub fn load(path: &Path, environment: &dyn Environment) -> Result<(Config, Warnings), ConfigErrors> {
    let (report, files) = (Report::new(path), Files::of(path));
    let config = read(&files, environment, &report);
    report.finish(config, files.sources())
}

fn read(files: &Files, environment: &dyn Environment, report: &Report) -> Option<Config> {
    let unreadable = |error| report.mistake(None, format!("cannot be read: {error}"));
    let text = files.config().map_err(unreadable).ok()?;
    let tree = tree::parse(&text).map_err(|(line, message)| report.mistake(line, message)).ok()?;
    let schema = super::schema();
    let json = Shape { schema: &schema, environment }.root(&tree, &report.root())?;
    // The error would repeat values of the file: only that there is one matters.
    let raw: Root = serde_json::from_value(json).ok()?;
    config(raw, &report.root(), files)
}

fn config(raw: Root, at: &Scope<'_>, files: &Files) -> Option<Config> {
    let needs_keys = matches!(raw.store.kind, Some(super::raw::store::StoreKind::Redis));
    let listen = listen(&raw.listen, &at.key("listen"));
    let store = store::store(raw.store, &at.key("store"), files);
    let keys = store::keys(raw.keys, &at.key("keys"), files, needs_keys);
    let raw_providers = raw.providers.unwrap_or_default();
    let apps = app::apps(raw.apps.unwrap_or_default(), &raw_providers, at);
    let providers = provider::providers(raw_providers, &at.key("providers"), files);
    let telemetry = telemetry(raw.telemetry, &at.key("telemetry"));
    let limits = limits(&raw.limits, &at.key("limits"));
    let shutdown = shutdown(&raw.shutdown, &at.key("shutdown"));
    Some(Config {
        listen: listen?,
        store: store?,
        keys: keys.ok()?,
        providers: providers?,
        apps: apps?,
        telemetry: telemetry?,
        limits: limits?,
        shutdown: shutdown?,
        sources: files.sources(),
    })
}

fn listen(raw: &RawListen, at: &Scope<'_>) -> Option<Listen> {
    let [grpc, http, admin] = [("grpc", &raw.grpc), ("http", &raw.http), ("admin", &raw.admin)].map(|(name, text)| {
        let at = at.key(name);
        at.check(value::address(text).map_err(|why| format!("{} {why}", at.quote())))
    });
    if let Some(Address::Unix(_)) = &admin {
        at.key("admin").mistake("the admin listener is TCP only: write it as `127.0.0.1:9003`");
    }
    for (name, one, others) in [("http", &http, [&grpc, &None]), ("admin", &admin, [&grpc, &http])] {
        if one.as_ref().is_some_and(|address| !is_any_port(address)) && others.contains(&one) {
            at.key(name).mistake("another listener has the same address: give each its own");
        }
    }
    Some(Listen { grpc: grpc?, http: http?, admin: admin? })
}

fn is_any_port(address: &Address) -> bool {
    match address {
        Address::Tcp(address) => address.port() == 0,
        Address::Unix(_) => false,
    }
}

fn telemetry(raw: Telemetry, at: &Scope<'_>) -> Option<TelemetryConfig> {
    let level = at.key("log_level");
    if !is_log_filter(&raw.log_level) {
        level
            .mistake(format!("{} is not a level or filter, as `info` or `info,coatcheck::store=debug`", level.quote()));
    }
    if raw.service_name.trim().is_empty() {
        at.key("service_name").mistake("is empty: give the service a name");
    }
    let otlp_endpoint = match &raw.otlp_endpoint {
        Some(text) => Some(at.key("otlp_endpoint").check(value::endpoint(text))?),
        None => None,
    };
    Some(TelemetryConfig {
        log_format: raw.log_format.map(|format| match format {
            RawLogFormat::Json => LogFormat::Json,
            RawLogFormat::Human => LogFormat::Human,
        }),
        log_level: raw.log_level,
        otlp_endpoint,
        service_name: raw.service_name,
    })
}

/// The filter's own parser takes a mistyped level for the name of a module, and then nothing is logged.
fn is_log_filter(text: &str) -> bool {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |part: &str| part.contains('=') || levels.contains(&part.trim().to_ascii_lowercase().as_str());
    text.split(',').all(known) && tracing_subscriber::EnvFilter::try_new(text).is_ok()
}

/// The schema has held the numbers to their ranges.
fn limits(raw: &Limits, at: &Scope<'_>) -> Option<LimitsConfig> {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let wait = span(&raw.wait, &at.key("wait"), ("1ms", "5s"));
    Some(LimitsConfig { checks: number(raw.checks), wait: wait?, connections: number(raw.connections) })
}

fn shutdown(raw: &Shutdown, at: &Scope<'_>) -> Option<ShutdownConfig> {
    let drain_delay = span(&raw.drain_delay, &at.key("drain_delay"), ("0s", "5m"));
    let timeout = span(&raw.timeout, &at.key("timeout"), ("100ms", "1h"));
    Some(ShutdownConfig { drain_delay: drain_delay?, timeout: timeout? })
}

/// A span of time within limits, which are written as spans too.
fn span(raw: &Span, at: &Scope<'_>, (min, max): (&str, &str)) -> Option<std::time::Duration> {
    let found = at.check(value::duration(&raw.0).map_err(|why| format!("{} {why}", at.quote())))?;
    let inside =
        value::duration(min).is_ok_and(|min| min <= found) && value::duration(max).is_ok_and(|max| found <= max);
    if !inside {
        at.mistake(format!("{} is out of range: {min} to {max}", value::show(found)));
    }
    inside.then_some(found)
}
