//! More checks than a process can answer: what is taken on has to stay fast, and the rest has to be refused early.
//!
//! The server gets one core, the load another. The load is open: calls come at their time whether earlier ones were
//! answered or not, as browsers do, on four connections, as from an Envoy with four workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::process::Server;
use crate::stack::Stack;
use crate::{FULL, Plan};

const CONNECTIONS: usize = 4;

/// Envoy's timeout of a check, as shipped.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long, and how much of the capacity.
pub(crate) struct Loads {
    /// Each load lasts so long.
    span: Duration,
    /// Answers of the first time are not counted: the load has to show what lasts.
    warm_up: Duration,
    shares: &'static [f64],
}

pub(crate) const LONG: Loads =
    Loads { span: Duration::from_secs(10), warm_up: Duration::from_secs(2), shares: &[0.5, 1.0, 1.5, 2.0, 3.0] };

/// For a first look.
pub(crate) const SHORT: Loads =
    Loads { span: Duration::from_secs(3), warm_up: Duration::from_secs(1), shares: &[0.7, 2.0] };

const SHEDDING: Plan = Plan { refreshes: 0, sessions: 1_000, wrapper: &["taskset", "-c", "0"], ..FULL };
const PATIENT: Plan = Plan { config: "limits: { checks: 1000000, wait: 5s }\n", ..SHEDDING };

/// Measures both, and prints Markdown.
pub(crate) async fn run(loads: &Loads) {
    println!("| limits | offered | forwarded/s | p50 | p99 | refused/s | p99 | no answer/s | server CPU |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, plan) in [("as shipped", &SHEDDING), ("none", &PATIENT)] {
        let stack = Stack::start(plan).await;
        let server = &stack.redis.server;
        let requests: Arc<Vec<Bytes>> =
            Arc::new(stack.redis.sessions.fresh.iter().map(|request| request.encode_to_vec().into()).collect());
        let capacity = capacity(server, &requests, loads).await;
        for share in loads.shares {
            let round = offer(server, &requests, capacity * share, loads).await;
            println!("| {name} | {share} × {capacity:.0}/s (sent {:.0}/s) | {round}", round.sent);
        }
    }
}

/// Calls per second that the server answers when 64 are always under way.
async fn capacity(server: &Server, requests: &Arc<Vec<Bytes>>, loads: &Loads) -> f64 {
    let clients = connect(server).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for number in 0..64 {
        let (client, requests, done) = (clients[number % CONNECTIONS].clone(), Arc::clone(requests), Arc::clone(&done));
        workers.spawn(async move {
            loop {
                let next = done.fetch_add(1, Ordering::Relaxed);
                ask(client.clone(), requests[next % requests.len()].clone()).await;
            }
        });
    }
    tokio::time::sleep(loads.warm_up).await;
    let (before, began) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(loads.span / 2).await;
    (done.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64()
}

/// What became of one call.
enum Fate {
    Forwarded(Duration),
    Refused(Duration),
    Unanswered,
}

async fn offer(server: &Server, requests: &Arc<Vec<Bytes>>, rate: f64, loads: &Loads) -> Round {
    let clients = connect(server).await;
    let mut calls = JoinSet::new();
    let (began, mut sent, mut fates) = (Instant::now(), 0_usize, Vec::new());
    let mut cpu = server.cpu();
    let mut warm = None;
    let mut beat = interval(Duration::from_millis(1));
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while began.elapsed() < loads.span {
        beat.tick().await;
        if warm.is_none() && began.elapsed() > loads.warm_up {
            (warm, cpu) = (Some((sent, Instant::now())), server.cpu());
        }
        while (sent as f64) < rate * began.elapsed().as_secs_f64() {
            let (client, request) = (clients[sent % CONNECTIONS].clone(), requests[sent % requests.len()].clone());
            let counts = warm.is_some();
            calls.spawn(async move { (counts, ask(client, request).await) });
            sent += 1;
        }
        while let Some(call) = calls.try_join_next() {
            fates.push(call.unwrap());
        }
    }
    let (warm_sent, warm_since) = warm.unwrap();
    let took = warm_since.elapsed();
    let cpu = server.cpu().saturating_sub(cpu);
    let sent = (sent - warm_sent) as f64 / took.as_secs_f64();
    while let Some(call) = calls.join_next().await {
        fates.push(call.unwrap());
    }
    let fates = fates.into_iter().filter(|(counts, _)| *counts).map(|(_, fate)| fate);
    Round::new(sent, took, cpu.as_secs_f64() / took.as_secs_f64(), fates)
}

struct Round {
    sent: f64,
    took: Duration,
    cpu: f64,
    forwarded: Vec<Duration>,
    refused: Vec<Duration>,
    unanswered: usize,
}

impl Round {
    fn new(sent: f64, took: Duration, cpu: f64, fates: impl Iterator<Item = Fate>) -> Self {
        let mut round = Self { sent, took, cpu, forwarded: Vec::new(), refused: Vec::new(), unanswered: 0 };
        for fate in fates {
            match fate {
                Fate::Forwarded(took) => round.forwarded.push(took),
                Fate::Refused(took) => round.refused.push(took),
                Fate::Unanswered => round.unanswered += 1,
            }
        }
        round.forwarded.sort_unstable();
        round.refused.sort_unstable();
        round
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = |count: usize| count as f64 / self.took.as_secs_f64();
        let at = |of: &[Duration], share: usize| {
            of.get(of.len() * share / 100)
                .map_or("–".to_owned(), |took| format!("{:.1} ms", took.as_secs_f64() * 1e3))
        };
        let (forwarded, refused) = (&self.forwarded, &self.refused);
        write!(
            f,
            "{:.0} | {} | {} | {:.0} | {} | {:.0} | {:.0} % |",
            rate(forwarded.len()),
            at(forwarded, 50),
            at(forwarded, 99),
            rate(refused.len()),
            at(refused, 99),
            rate(self.unanswered),
            self.cpu * 100.0
        )
    }
}

async fn connect(server: &Server) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
        channels.push(endpoint.connect().await.unwrap());
    }
    channels
}

async fn ask(channel: Channel, message: Bytes) -> Fate {
    let began = Instant::now();
    let mut request = Request::new(message);
    request.set_timeout(TIMEOUT);
    let mut client = Grpc::new(channel);
    let path = PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
    let call = async {
        client.ready().await.ok()?;
        client.unary(request, path, Raw).await.ok()
    };
    let Ok(Some(response)) = tokio::time::timeout(TIMEOUT, call).await else { return Fate::Unanswered };
    let response = CheckResponse::decode(response.into_inner()).unwrap();
    match response.status.map_or(0, |status| status.code) {
        0 => Fate::Forwarded(began.elapsed()),
        14 => Fate::Refused(began.elapsed()),
        other => panic!("an answer that was not expected: {other}"),
    }
}

/// Bytes in and out: encoding is not what is measured.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
