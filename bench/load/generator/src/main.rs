//! `footfall-load port=N requests=FILE …`: send hits when they are due, say how long each took from then.
//!
//! | option | what |
//! |---|---|
//! | `port` | of 127.0.0.1 |
//! | `requests` | the file of requests (see `requests`) |
//! | `rate` | hits a second; 0: a closed loop, each connection sends as soon as it is answered |
//! | `poisson` | 1: due at moments of their own at that mean rate; 0: at equal distances |
//! | `seconds` | how long hits are due |
//! | `connections` | at most at a time |
//! | `short` | 1: a connection for each hit |
//! | `tls` | 1: TLS |
//! | `first` | the number of the first hit |
//! | `patience_ms` | how long an answer is waited for |
//! | `every_ms` | a line of JSON about each such interval; 0: none |
//! | `outcomes` | a file that gets one byte for each hit: the number of its outcome (see `answer`) |
//! | `seed` | of the due times |
//!
//! The last line has everything. Exit 1 with one line on stderr when nothing could be measured.

mod answer;
mod connection;
mod engine;
mod report;
mod requests;
mod schedule;
mod trust;

use std::collections::HashMap;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::str::FromStr;

use engine::{Engine, Plan};
use requests::Requests;
use schedule::{Random, Schedule};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("footfall-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let options: HashMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let rate_per_s: f64 = option(&options, "rate", 0.0)?;
    let random = (option(&options, "poisson", 0)? == 1).then_some(Random::new(option(&options, "seed", 1)?));
    let outcomes_file = options.get("outcomes");
    let plan = Plan {
        port: option(&options, "port", 8000)?,
        rate_per_s,
        seconds: option(&options, "seconds", 1.0)?,
        connections: option(&options, "connections", 64)?,
        is_short: option(&options, "short", 0)? == 1,
        tls: if option(&options, "tls", 0)? == 1 {
            Some(trust::client_config().map_err(io::Error::other)?)
        } else {
            None
        },
        first: option(&options, "first", 0)?,
        patience_ns: option(&options, "patience_ms", 10_000u64)? * 1_000_000,
        every_ns: option(&options, "every_ms", 0u64)? * 1_000_000,
        keeps_outcomes: outcomes_file.is_some(),
    };
    let requests = Requests::new(std::fs::read(options.get("requests").map_or("", String::as_str))?)?;
    // The kernel may wake a sleeper up to 50 µs late to save power: as late as some answers take.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut out = io::stdout().lock();
    let engine = Engine::new(plan, requests, Schedule::new(rate_per_s, random))?;
    let mut written = Ok(());
    let (line, outcomes) = engine.run(|line| {
        if written.is_ok() {
            written = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    })?;
    written?;
    if let Some(path) = outcomes_file {
        std::fs::write(path, outcomes)?;
    }
    writeln!(out, "{line}")
}

fn option<T: FromStr>(options: &HashMap<String, String>, name: &str, default: T) -> io::Result<T> {
    match options.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| io::Error::other(format!("{name}={text} is not understood"))),
    }
}
