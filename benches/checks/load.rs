//! The load: one connection, 64 calls in flight, as one Envoy worker under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use tokio::task::JoinSet;

use crate::process::Server;

const IN_FLIGHT: usize = 64;

/// Calls before a measurement begins.
const WARM_UP: usize = 500;

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) struct Load<'l> {
    requests: &'l [CheckRequest],
    calls: usize,
    warm_up: usize,
}

impl<'l> Load<'l> {
    /// `calls` calls that go around in `requests`.
    pub(crate) fn new(requests: &'l [CheckRequest], calls: usize) -> Self {
        Self { requests, calls, warm_up: WARM_UP }
    }

    /// Each request once.
    pub(crate) fn once(requests: &'l [CheckRequest]) -> Self {
        Self { requests, calls: requests.len(), warm_up: 0 }
    }
}

/// What every answer has to look like: a bench that measures mistakes is worth nothing.
pub(crate) type Expected = fn(&CheckResponse) -> bool;

/// What one round brought.
pub(crate) struct Round {
    /// CPU time of the server per call, in microseconds.
    pub(crate) cpu: f64,
    /// Median latency in microseconds.
    pub(crate) p50: u64,
    /// 99th percentile in microseconds.
    pub(crate) p99: u64,
    /// Calls per second.
    pub(crate) rate: f64,
}

impl Round {
    /// OK, whatever else.
    pub(crate) fn of_floor() -> Expected {
        |response| code(response) == 0
    }

    /// Allowed with the token.
    pub(crate) fn of_forward() -> Expected {
        |response| code(response) == 0 && bearer(response)
    }

    /// Allowed without a token.
    pub(crate) fn of_public() -> Expected {
        |response| code(response) == 0 && !bearer(response)
    }

    /// Denied.
    pub(crate) fn of_refusal() -> Expected {
        |response| code(response) != 0
    }
}

fn code(response: &CheckResponse) -> i32 {
    response.status.as_ref().map_or(0, |status| status.code)
}

fn bearer(response: &CheckResponse) -> bool {
    let Some(HttpResponse::OkResponse(ok)) = &response.http_response else { return false };
    let mut headers = ok.headers.iter().filter_map(|option| option.header.as_ref());
    headers.any(|header| {
        let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
        header.key.eq_ignore_ascii_case("authorization") && value.starts_with(b"Bearer ")
    })
}

/// Sends a load and measures.
pub(crate) async fn drive(server: &Server, load: Load<'_>, expected: Expected) -> Round {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let client = AuthorizationClient::new(endpoint.connect().await.unwrap());
    let requests: Arc<Vec<CheckRequest>> = Arc::new(load.requests.to_vec());
    if load.warm_up > 0 {
        send(server, &client, &requests, load.warm_up, expected).await;
    }
    let (began, cpu) = (Instant::now(), server.cpu());
    let mut latencies = send(server, &client, &requests, load.calls, expected).await;
    let (took, cpu) = (began.elapsed(), server.cpu().saturating_sub(cpu));
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() * share / 100).min(latencies.len() - 1)];
    Round {
        cpu: cpu.as_secs_f64() * 1e6 / load.calls as f64,
        p50: micros(at(50)),
        p99: micros(at(99)),
        rate: load.calls as f64 / took.as_secs_f64(),
    }
}

type Client = AuthorizationClient<tonic::transport::Channel>;

async fn send(
    server: &Server,
    client: &Client,
    requests: &Arc<Vec<CheckRequest>>,
    calls: usize,
    expected: Expected,
) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (mut client, requests, next) = (client.clone(), Arc::clone(requests), Arc::clone(&next));
        workers.spawn(async move {
            let mut latencies = Vec::with_capacity(calls / IN_FLIGHT * 2);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    return Ok(latencies);
                }
                let request = requests[number % requests.len()].clone();
                let began = Instant::now();
                let response = client.check(request).await.map_err(|status| status.to_string())?.into_inner();
                latencies.push(began.elapsed());
                if !expected(&response) {
                    return Err(format!("an answer that was not expected: {:?}", response.status));
                }
            }
        });
    }
    let mut latencies = Vec::with_capacity(calls);
    while let Some(worker) = workers.join_next().await {
        match worker.unwrap() {
            Ok(mut some) => latencies.append(&mut some),
            Err(why) => panic!("{why}; the server's last words: {:#?}", server.last_words()),
        }
    }
    latencies
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
