//! The result as Markdown.

use crate::load::{Expected, Round};
use crate::stack::Stack;

/// One row: a path through the service.
pub(crate) struct Path {
    name: &'static str,
    expected: Expected,
    rounds: Vec<Round>,
}

impl Path {
    pub(crate) fn new(name: &'static str, expected: Expected) -> Self {
        Self { name, expected, rounds: Vec::new() }
    }

    pub(crate) fn expected(&self) -> Expected {
        self.expected
    }

    pub(crate) fn measured(&mut self, round: Round) {
        self.rounds.push(round);
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// The median of the ratios of each round: what disturbs a round disturbs the floor in it as well.
    fn ratio(&self, floor: &Self) -> f64 {
        median(self.rounds.iter().zip(&floor.rounds).map(|(own, floor)| own.cpu / floor.cpu).collect())
    }
}

/// What is measured once.
pub(crate) struct Facts {
    idle: (u64, u64),
    loaded: (u64, u64),
    start: (f64, f64),
    bytes: (u64, u64),
    sessions: usize,
}

impl Facts {
    /// Before any load.
    pub(crate) fn idle(stack: &Stack) -> Self {
        let resident = (stack.embedded.server.resident(), stack.redis.server.resident());
        let ready = |side: &crate::stack::Side| side.ready_after.as_secs_f64() * 1e3;
        Self {
            idle: resident,
            loaded: resident,
            start: (ready(&stack.embedded), ready(&stack.redis)),
            bytes: (stack.embedded.bytes_per_session, stack.redis.bytes_per_session),
            sessions: stack.embedded.sessions.fresh.len() + stack.embedded.sessions.expired.len(),
        }
    }

    /// After all of it.
    pub(crate) fn after(self, stack: &Stack) -> Self {
        Self { loaded: (stack.embedded.server.resident(), stack.redis.server.resident()), ..self }
    }
}

/// Everything.
pub(crate) struct Report {
    pub(crate) paths: Vec<Path>,
    pub(crate) facts: Facts,
}

impl Report {
    pub(crate) fn print(&self) {
        let Some(floor) = self.paths.first() else { return };
        println!("| path | CPU per call | of the floor | p50 | p99 | calls/s |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
        for path in &self.paths {
            let (cpu, ratio) = (path.median(|round| round.cpu), path.ratio(floor));
            let (p50, p99) = (path.median(|round| round.p50 as f64), path.median(|round| round.p99 as f64));
            let rate = path.median(|round| round.rate);
            let name = path.name;
            println!("| {name} | {cpu:.1} µs | {ratio:.2} | {:.2} ms | {:.2} ms | {rate:.0} |", p50 / 1e3, p99 / 1e3);
        }
        let facts = &self.facts;
        println!();
        println!("| | embedded store | Redis |");
        println!("| --- | ---: | ---: |");
        println!("| start to ready | {:.0} ms | {:.0} ms |", facts.start.0, facts.start.1);
        println!("| resident, idle | {} | {} |", mebibytes(facts.idle.0), mebibytes(facts.idle.1));
        println!("| resident, after the load | {} | {} |", mebibytes(facts.loaded.0), mebibytes(facts.loaded.1));
        println!("| store, per session ({} sessions) | {} B | {} B |", facts.sessions, facts.bytes.0, facts.bytes.1);
        println!();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        println!(
            "{} rounds, one connection, 64 calls in flight, {cores} cores shared by load, server and store.",
            floor.rounds.len()
        );
        println!("CPU is user and system time of the server process alone; each figure is the median of the rounds.");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}
