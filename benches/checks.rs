//! What a check costs, side by side in one run: the floor (the same gRPC stack that answers "OK" without thinking),
//! coatcheck with the embedded store, with Redis, and on the refresh path. Prints Markdown.
//!
//! `cargo bench --bench checks [-- --quick | --overload]`. The number that counts is the CPU time of the server process per call, as
//! a ratio to the floor of the same round: latencies on a shared machine contain the load generator.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench fails loudly, prints its result and reads the clock"
)]

#[path = "checks/floor.rs"]
mod floor;
#[path = "checks/load.rs"]
mod load;
#[path = "checks/overload.rs"]
mod overload;
#[path = "checks/process.rs"]
mod process;
#[path = "checks/provider.rs"]
mod provider;
#[path = "checks/report.rs"]
mod report;
#[path = "checks/request.rs"]
mod request;
#[path = "checks/sessions.rs"]
mod sessions;
#[path = "checks/stack.rs"]
mod stack;

use load::{Load, Round};
use process::Server;
use report::{Facts, Path, Report};
use stack::Stack;

/// How much is measured.
pub(crate) struct Plan {
    /// Alternating rounds; the median counts.
    pub(crate) rounds: usize,
    /// Calls per round.
    pub(crate) calls: usize,
    /// Sessions that the calls go around in.
    pub(crate) sessions: usize,
    /// Sessions with an expired token, per round: each costs one refresh.
    pub(crate) refreshes: usize,
    /// More lines for the configuration.
    pub(crate) config: &'static str,
    /// Put before the servers' command.
    pub(crate) wrapper: &'static [&'static str],
}

const FULL: Plan = Plan { rounds: 7, calls: 40_000, sessions: 1_000, refreshes: 2_000, config: "", wrapper: &[] };
const QUICK: Plan = Plan { rounds: 2, calls: 5_000, sessions: 200, refreshes: 200, ..FULL };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let told = |name: &str| arguments.iter().any(|argument| argument == name);
    if told(floor::ARGUMENT) {
        return floor::serve(told(floor::WITH_HEADER));
    }
    if told("--overload") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(overload::run(if told("--quick") { &overload::SHORT } else { &overload::LONG }));
    }
    let plan = if told("--quick") { QUICK } else { FULL };
    // One thread for the load: the other core is the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&plan)).print();
}

async fn run(plan: &Plan) -> Report {
    let bare = floor::start(false);
    let header = floor::start(true);
    let stack = Stack::start(plan).await;
    let facts = Facts::idle(&stack);
    let floors = vec![request::check("/products/42", None)];
    let mut paths = vec![
        Path::new("floor: the gRPC stack says OK", Round::of_floor()),
        Path::new("floor and one 1.7 KB header", Round::of_floor()),
        Path::new("session, embedded store", Round::of_forward()),
        Path::new("session, Redis", Round::of_forward()),
        Path::new("public path, no session", Round::of_public()),
        Path::new("cookie of nobody's, refused before the store", Round::of_refusal()),
        Path::new("expired token: refresh, embedded store", Round::of_forward()),
        Path::new("expired token: refresh, Redis", Round::of_forward()),
    ];
    let (embedded, redis) = (&stack.embedded, &stack.redis);
    let public = vec![request::check("/assets/app.css", None)];
    let forged = vec![request::check("/products/42", Some(&sessions::forged()))];
    for round in 0..plan.rounds {
        let expired = round * plan.refreshes..(round + 1) * plan.refreshes;
        let loads: [(&Server, Load<'_>); 8] = [
            (&bare, Load::new(&floors, plan.calls)),
            (&header, Load::new(&floors, plan.calls)),
            (&embedded.server, Load::new(&embedded.sessions.fresh, plan.calls)),
            (&redis.server, Load::new(&redis.sessions.fresh, plan.calls)),
            (&embedded.server, Load::new(&public, plan.calls)),
            (&embedded.server, Load::new(&forged, plan.calls)),
            (&embedded.server, Load::once(&embedded.sessions.expired[expired.clone()])),
            (&redis.server, Load::once(&redis.sessions.expired[expired])),
        ];
        for (path, (server, load)) in paths.iter_mut().zip(loads) {
            path.measured(load::drive(server, load, path.expected()).await);
        }
    }
    let refreshes = 2 * plan.rounds * plan.refreshes;
    assert_eq!(stack.provider.refreshes(), refreshes as u64, "each expired session is refreshed exactly once");
    let facts = facts.after(&stack);
    Report { paths, facts }
}
