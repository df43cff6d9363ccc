//! The way to the provider: one request, one answer, bounded in time and size.
//!
//! It never follows a redirect, never retries, uses no proxy and no cookie, and speaks TLS through rustls
//! only. Its errors name the endpoint and the cause, never a URL's query, a header or a body.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, Request, RequestBuilder, redirect, retry};
use tracing::{Instrument, Span, field, info_span};
use url::Url;
use zeroize::Zeroizing;

use super::ProviderError;
use super::refusal::printable;
use crate::clock::SharedClock;
use crate::config::ProviderConfig;
use crate::telemetry::metrics::{Metrics, ProviderCall};

/// Answers over this size are refused.
const BODY_LIMIT: usize = 1024 * 1024;

/// A connection is made within this time, or the call's, whichever is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Below every server's usual keep-alive (5 s and more): a token request must not be written to a
/// connection that the server is about to close, because it cannot be repeated.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// An endpoint of the provider: names the span, the metric labels and the errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Discovery,
    Jwks,
    Token,
    Userinfo,
    Revocation,
}

impl Endpoint {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::Token => "token",
            Self::Userinfo => "userinfo",
            Self::Revocation => "revocation",
        }
    }
}

/// A complete answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    /// May hold tokens.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// No complete answer came.
#[derive(Debug)]
pub(super) struct Failure {
    /// `false` only when no byte of the request can have been sent.
    pub(super) reached: bool,
    kind: &'static str,
    text: String,
}

impl Failure {
    fn new(reached: bool, kind: &'static str, text: impl Into<String>) -> Self {
        Self { reached, kind, text: text.into() }
    }

    fn from_reqwest(error: reqwest::Error) -> Self {
        let error = error.without_url();
        // A connection that failed (DNS, refused, TLS handshake) has carried nothing of the request.
        let reached = !(error.is_connect() || error.is_builder());
        let kind = match (error.is_timeout(), reached) {
            (true, _) => "timeout",
            (false, false) => "connect",
            (false, true) => "interrupted",
        };
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Self::new(reached, kind, format!("{kind}: {}", printable(&cause.to_string(), 120, &[])))
    }
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.text)
    }
}

/// The provider's TLS roots could not be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpSetupError {
    #[error("the CA file holds no usable PEM certificate")]
    BadCa,
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// A client for one provider.
pub(super) struct Http {
    client: Client,
    provider: Arc<str>,
    clock: SharedClock,
    metrics: Metrics,
}

impl Http {
    pub(super) fn new(config: &ProviderConfig, clock: SharedClock, metrics: Metrics) -> Result<Self, HttpSetupError> {
        // reqwest takes the process's default. Where main has set one, this changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(CONNECT_TIMEOUT))
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(concat!("coatcheck/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &config.ca {
            let roots = Certificate::from_pem_bundle(pem).map_err(|_| HttpSetupError::BadCa)?;
            if roots.is_empty() {
                return Err(HttpSetupError::BadCa);
            }
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(|error| match (&config.ca, error.source()) {
            (Some(_), _) => HttpSetupError::BadCa,
            (None, cause) => HttpSetupError::Client(cause.map_or_else(|| error.to_string(), ToString::to_string)),
        })?;
        Ok(Self { client, provider: config.name.as_str().into(), clock, metrics })
    }

    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.client.get(url)
    }

    pub(super) fn post(&self, url: &str) -> RequestBuilder {
        self.client.post(url)
    }

    /// Sends one request and reads its answer to the end; counts and traces it.
    pub(super) async fn send(&self, endpoint: Endpoint, request: RequestBuilder) -> Result<Answer, Failure> {
        let failed = |failure: Failure| {
            self.failed(endpoint, failure.kind);
            Failure { text: format!("{}: {}", endpoint.name(), failure.text), ..failure }
        };
        let request = request.build().map_err(|error| failed(Failure::from_reqwest(error)))?;
        let called = Called::of(&request);
        let span = self.span(endpoint, &called);
        let started = self.clock.now();
        let outcome = exchange(&self.client, request).instrument(span.clone()).await;
        self.tell(endpoint, &called, self.clock.now().since(started), &outcome);
        match &outcome {
            Ok(answer) => {
                span.record("http.response.status_code", answer.status.as_u16());
                if !answer.status.is_success() {
                    span.record("error.type", answer.status.as_str()).record("otel.status_code", "ERROR");
                }
            }
            Err(failure) => {
                span.record("error.type", failure.kind).record("otel.status_code", "ERROR");
            }
        }
        outcome.map_err(failed)
    }

    fn tell(&self, endpoint: Endpoint, called: &Called, took: Duration, outcome: &Result<Answer, Failure>) {
        let (status, error) = match outcome {
            Ok(answer) if answer.status.is_success() => (answer.status.as_str(), ""),
            Ok(answer) => (answer.status.as_str(), answer.status.as_str()),
            Err(failure) => ("", failure.kind),
        };
        let call = ProviderCall {
            provider: &self.provider,
            endpoint: endpoint.name(),
            method: called.method.as_str(),
            address: called.url.host_str().unwrap_or_default(),
            port: &called.port().to_string(),
            status,
            error,
        };
        self.metrics.provider_call(call, took);
    }

    /// Counts a call whose answer was not what was asked for.
    pub(super) fn failed(&self, endpoint: Endpoint, kind: &'static str) {
        self.metrics.provider_error(&self.provider, endpoint.name(), kind);
    }

    /// By the HTTP conventions of OpenTelemetry. A provider's endpoints are few: its paths are fit for names.
    fn span(&self, endpoint: Endpoint, called: &Called) -> Span {
        info_span!(
            "provider",
            otel.name = format!("{} {}", called.method, called.url.path()),
            otel.kind = "client",
            otel.status_code = field::Empty,
            http.request.method = called.method.as_str(),
            http.response.status_code = field::Empty,
            url.full = called.without_query(),
            url.template = called.url.path(),
            server.address = called.url.host_str(),
            server.port = called.port(),
            error.r#type = field::Empty,
            provider = &*self.provider,
            endpoint = endpoint.name(),
        )
    }
}

/// What may be told of a request: neither its query nor what it carries.
struct Called {
    method: http::Method,
    url: Url,
}

impl Called {
    fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), url: request.url().clone() }
    }

    fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Query, fragment, user and password are left out.
    fn without_query(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }
}

async fn exchange(client: &Client, request: Request) -> Result<Answer, Failure> {
    let mut response = client.execute(request).await.map_err(Failure::from_reqwest)?;
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_ascii_lowercase);
    if response.content_length().is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(too_large());
    }
    let mut body = Zeroizing::new(Vec::new());
    // The request is out: whatever breaks from here on, the provider may have acted on it.
    while let Some(chunk) =
        response.chunk().await.map_err(|error| Failure { reached: true, ..Failure::from_reqwest(error) })?
    {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, content_type, body })
}

fn too_large() -> Failure {
    Failure::new(true, "oversize", "the answer is over 1 MiB")
}
