//! The list: each metric once, with its name at `/metrics` and its name in OTLP.
//!
//! The names at `/metrics` are kept stable. In OTLP a metric has the name, unit and attributes of OpenTelemetry's
//! semantic conventions where those know such a metric, and `coatcheck.…` otherwise.

pub(super) const DECISIONS: &str = "coatcheck_decisions_total";
pub(super) const CHECK_SECONDS: &str = "coatcheck_check_duration_seconds";
pub(super) const REFRESHES: &str = "coatcheck_refreshes_total";
pub(super) const STORE_SECONDS: &str = "coatcheck_store_duration_seconds";
pub(super) const STORE_ERRORS: &str = "coatcheck_store_errors_total";
pub(super) const PROVIDER_SECONDS: &str = "coatcheck_provider_duration_seconds";
pub(super) const PROVIDER_ERRORS: &str = "coatcheck_provider_errors_total";
pub(super) const LOGINS: &str = "coatcheck_logins_total";
pub(super) const LOGOUTS: &str = "coatcheck_logouts_total";
pub(super) const TICKETS_REFUSED: &str = "coatcheck_tickets_refused_total";
pub(super) const RECORDS_UNREADABLE: &str = "coatcheck_records_unreadable_total";
pub(super) const BIND_MISMATCHES: &str = "coatcheck_bind_mismatches_total";
pub(super) const READY: &str = "coatcheck_ready";
pub(super) const CONFIG_RELOADS: &str = "coatcheck_config_reloads_total";
pub(super) const CONFIG_SUCCESSFUL: &str = "coatcheck_config_last_reload_successful";
pub(super) const CONFIG_SUCCESS_TIME: &str = "coatcheck_config_last_reload_success_timestamp_seconds";

/// One metric. Documented in `docs/observability.md`.
#[derive(Debug)]
pub struct Definition {
    /// The name at `/metrics`.
    pub name: &'static str,
    /// The name in OTLP.
    pub otlp: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The unit in OTLP (UCUM).
    pub unit: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Its labels, in the order in which the values are given.
    pub labels: &'static [Label],
    /// Attributes that are the same in all its series; OTLP only.
    pub constants: &'static [(&'static str, &'static str)],
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A histogram of durations in seconds.
    Seconds,
}

/// A label at `/metrics` and the attribute in OTLP with the same value.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// The label; `None` for what only OTLP is told.
    pub name: Option<&'static str>,
    /// The attribute.
    pub attribute: &'static str,
    /// Whether the attribute is a number in OTLP.
    pub number: bool,
}

/// One word for both.
const fn label(name: &'static str) -> Label {
    renamed(name, name)
}

const fn renamed(name: &'static str, attribute: &'static str) -> Label {
    Label { name: Some(name), attribute, number: false }
}

const fn otlp_only(attribute: &'static str) -> Label {
    Label { name: None, attribute, number: false }
}

const fn otlp_number(attribute: &'static str) -> Label {
    Label { name: None, attribute, number: true }
}

/// A counter whose conventions are our own.
const fn counter(
    names: (&'static str, &'static str),
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
) -> Definition {
    Definition { name: names.0, otlp: names.1, kind: Kind::Counter, unit, help, labels, constants: &[] }
}

const fn gauge(
    names: (&'static str, &'static str),
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
) -> Definition {
    Definition { kind: Kind::Gauge, ..counter(names, unit, labels, help) }
}

const fn seconds(names: (&'static str, &'static str), labels: &'static [Label], help: &'static str) -> Definition {
    Definition { kind: Kind::Seconds, ..counter(names, "s", labels, help) }
}

pub(super) static DEFINITIONS: [Definition; 16] = [
    counter(
        (DECISIONS, "coatcheck.decisions"),
        "{check}",
        &[label("app"), label("decision"), label("reason")],
        "Checks by decision (forward, login, deny, retry_later) and reason",
    ),
    Definition {
        constants: &[
            ("rpc.system.name", "grpc"),
            ("rpc.method", "envoy.service.auth.v3.Authorization/Check"),
            // A denial is an answer: no check ever ends in another gRPC status.
            ("rpc.response.status_code", "OK"),
        ],
        ..seconds((CHECK_SECONDS, "rpc.server.call.duration"), &[], "Time from a check's arrival to its answer")
    },
    counter(
        (REFRESHES, "coatcheck.refreshes"),
        "{refresh}",
        &[label("provider"), label("outcome")],
        "Token refreshes by provider and outcome",
    ),
    seconds(
        (STORE_SECONDS, "db.client.operation.duration"),
        &[renamed("operation", "db.operation.name"), otlp_only("db.system.name"), otlp_only("error.type")],
        "Time of store calls by operation",
    ),
    counter(
        (STORE_ERRORS, "coatcheck.store.errors"),
        "{error}",
        &[renamed("operation", "db.operation.name")],
        "Failed store calls by operation",
    ),
    seconds(
        (PROVIDER_SECONDS, "http.client.request.duration"),
        &[
            label("provider"),
            label("endpoint"),
            otlp_only("http.request.method"),
            otlp_only("server.address"),
            otlp_number("server.port"),
            otlp_number("http.response.status_code"),
            otlp_only("error.type"),
        ],
        "Time of provider calls by provider and endpoint",
    ),
    counter(
        (PROVIDER_ERRORS, "coatcheck.provider.errors"),
        "{error}",
        &[label("provider"), label("endpoint"), renamed("kind", "error.type")],
        "Failed provider calls by provider, endpoint and kind",
    ),
    counter(
        (LOGINS, "coatcheck.logins"),
        "{login}",
        &[label("app"), label("outcome")],
        "Login attempts by app and outcome",
    ),
    counter((LOGOUTS, "coatcheck.logouts"), "{logout}", &[label("app")], "Logouts by app"),
    counter(
        (TICKETS_REFUSED, "coatcheck.tickets.refused"),
        "{ticket}",
        &[label("reason")],
        "Session cookies refused before the store, by reason",
    ),
    counter(
        (RECORDS_UNREADABLE, "coatcheck.records.unreadable"),
        "{record}",
        &[],
        "Store records that could not be opened",
    ),
    counter(
        (BIND_MISMATCHES, "coatcheck.bind.mismatches"),
        "{check}",
        &[label("app")],
        "Sessions served to another browser than they are bound to",
    ),
    gauge((READY, "coatcheck.ready"), "1", &[], "1 when ready, else 0"),
    counter(
        (CONFIG_RELOADS, "coatcheck.config.reloads"),
        "{reload}",
        &[label("outcome")],
        "Reloads of the configuration by outcome (applied, refused, unchanged)",
    ),
    gauge(
        (CONFIG_SUCCESSFUL, "coatcheck.config.last_reload.successful"),
        "1",
        &[],
        "1 when what the files say is what runs, 0 when it was refused",
    ),
    gauge(
        (CONFIG_SUCCESS_TIME, "coatcheck.config.last_reload.success_time"),
        "s",
        &[],
        "When the running configuration was taken, in seconds since the epoch",
    ),
];
