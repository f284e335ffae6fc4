//! The loop: hands each hit to a free connection when it is due, and takes answers. One thread, one epoll.
//!
//! A hit that is due while no connection is free waits; its latency counts from its due time all the same. A hit whose
//! request was partly written and never answered is not sent again: it may be stored. One that could not connect is
//! tried again, since nothing of it left.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustls::ClientConfig;

use crate::answer::Outcome;
use crate::connection::{Connection, Hit, Progress, State, Wire};
use crate::report::Report;
use crate::requests::Requests;
use crate::schedule::Schedule;

/// Between two looks at what has waited for too long.
const SWEEP_NS: u64 = 10_000_000;
/// Before a connection that was refused is tried again.
const RETRY_NS: u64 = 20_000_000;
/// A server that says it closes a connection has so long to do it.
const ENDING_NS: u64 = 1_000_000_000;
/// Nearer than this the loop does not sleep: going to sleep and waking up takes about as long.
const SPIN_NS: u64 = 4_000;
const EVENTS: usize = 256;
const SCRATCH_BYTES: usize = 16 * 1024;

/// What is asked of a run.
pub struct Plan {
    /// On 127.0.0.1.
    pub port: u16,
    /// Hits a second; 0: a closed loop.
    pub rate_per_s: f64,
    /// How long hits are due.
    pub seconds: f64,
    /// Connections at most at a time.
    pub connections: usize,
    /// A connection of its own for each hit.
    pub is_short: bool,
    /// TLS, if any.
    pub tls: Option<Arc<ClientConfig>>,
    /// The number of the first hit.
    pub first: u64,
    /// How long an answer, and at the end a hit's turn, is waited for.
    pub patience_ns: u64,
    /// Between two lines about an interval; 0: none.
    pub every_ns: u64,
    /// Whether each hit's outcome is kept.
    pub keeps_outcomes: bool,
}

/// See the module.
pub struct Engine {
    plan: Plan,
    requests: Requests,
    schedule: Schedule,
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    free: VecDeque<usize>,
    wire: Wire,
    opened: u64,
    next: u64,
    /// Of the whole run.
    pub total: Report,
    interval: Report,
    /// One number of `Outcome` for each hit.
    pub outcomes: Vec<u8>,
    started: Instant,
}

impl Engine {
    /// Nothing is connected yet.
    pub fn new(plan: Plan, requests: Requests, schedule: Schedule) -> io::Result<Self> {
        let connections = (0..plan.connections).map(|_| Connection::new(plan.is_short)).collect();
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            free: (0..plan.connections).collect(),
            connections,
            plan,
            requests,
            schedule,
            wire: Wire::default(),
            opened: 0,
            next: 0,
            total: Report::new().map_err(io::Error::other)?,
            interval: Report::new().map_err(io::Error::other)?,
            outcomes: Vec::new(),
            started: Instant::now(),
        })
    }

    /// Open what is kept, send everything, print, and return the last line.
    pub fn run(mut self, mut print: impl FnMut(&str)) -> io::Result<(String, Vec<u8>)> {
        if !self.plan.is_short {
            self.open_all()?;
        }
        self.wire = Wire::default();
        self.started = Instant::now();
        let end_ns = (self.plan.seconds * 1e9) as u64;
        let mut next_sweep_ns = SWEEP_NS;
        let mut next_line_ns = if self.plan.every_ns == 0 { u64::MAX } else { self.plan.every_ns };
        let mut events = Vec::with_capacity(EVENTS);
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut now_ns = 0;
        while !self.is_over(now_ns, end_ns) {
            self.begin_due(now_ns, end_ns);
            now_ns = self.now_ns();
            let wake_ns = next_sweep_ns.min(self.wake_ns(end_ns));
            self.wait(&mut events, wake_ns.saturating_sub(now_ns))?;
            for event in events.drain(..) {
                self.look(event, &mut scratch);
            }
            now_ns = self.now_ns();
            if now_ns >= next_sweep_ns {
                self.sweep(now_ns);
                next_sweep_ns = now_ns + SWEEP_NS;
            }
            if now_ns >= next_line_ns {
                let waiting = self.waiting(now_ns);
                print(&self.interval.interval_line(now_ns as f64 / 1e9, waiting));
                self.interval.reset();
                next_line_ns += self.plan.every_ns;
            }
        }
        self.give_up(now_ns, end_ns);
        let line = self.total.final_line(now_ns as f64 / 1e9, self.opened, self.wire)?;
        Ok((line, self.outcomes))
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn is_due_ever(&self, end_ns: u64) -> bool {
        self.plan.rate_per_s > 0.0 && self.schedule.due_ns() < end_ns
    }

    fn is_over(&self, now_ns: u64, end_ns: u64) -> bool {
        if now_ns < end_ns || self.is_due_ever(end_ns) && now_ns < end_ns + self.plan.patience_ns {
            return false;
        }
        let is_quiet = self.connections.iter().all(|connection| connection.hit.is_none());
        is_quiet || now_ns > end_ns + self.plan.patience_ns
    }

    /// Hits that are due and that no connection has taken.
    fn waiting(&self, now_ns: u64) -> u64 {
        let behind_ns = now_ns.saturating_sub(self.schedule.due_ns());
        (behind_ns as f64 * self.plan.rate_per_s / 1e9) as u64
    }

    /// Until then there is nothing to begin.
    fn wake_ns(&self, end_ns: u64) -> u64 {
        if self.free.is_empty() || !self.is_due_ever(end_ns) { u64::MAX } else { self.schedule.due_ns() }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>, longest_ns: u64) -> io::Result<()> {
        let sleep = Duration::from_nanos(if longest_ns < SPIN_NS { 0 } else { longest_ns });
        let timeout = Timespec { tv_sec: sleep.as_secs() as i64, tv_nsec: i64::from(sleep.subsec_nanos()) };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kept connections are opened before the clock starts.
    fn open_all(&mut self) -> io::Result<()> {
        for index in 0..self.connections.len() {
            self.open(index)?;
        }
        let mut events = Vec::with_capacity(EVENTS);
        let mut scratch = vec![0; SCRATCH_BYTES];
        while self.connections.iter().any(|connection| connection.state == State::Opening) {
            if self.started.elapsed() > Duration::from_nanos(self.plan.patience_ns) {
                return Err(io::Error::other("connections were not opened in time"));
            }
            self.wait(&mut events, SWEEP_NS)?;
            for event in events.drain(..) {
                self.look(event, &mut scratch);
            }
        }
        if self.connections.iter().any(|connection| connection.state != State::Idle) {
            return Err(io::Error::other("nobody takes connections on that port"));
        }
        Ok(())
    }

    fn open(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        connection.open(self.plan.port, self.plan.tls.as_ref())?;
        if let Some(stream) = connection.stream() {
            // Writable once and readable always: edges, so that nothing has to be asked for again.
            let wanted =
                epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            epoll::add(&self.epoll, stream, epoll::EventData::new_u64(index as u64), wanted)?;
            self.opened += 1;
        }
        Ok(())
    }

    /// Give every hit that is due to a free connection, as long as there is one.
    fn begin_due(&mut self, now_ns: u64, end_ns: u64) {
        let is_closed_loop = self.plan.rate_per_s == 0.0;
        while self.schedule.due_ns() <= now_ns
            && self.schedule.due_ns() < end_ns
            && !(is_closed_loop && now_ns >= end_ns)
        {
            let Some(index) = self.free.pop_front() else { return };
            let begun_ns = self.now_ns();
            let due_ns = if is_closed_loop { begun_ns } else { self.schedule.due_ns() };
            let number = self.next;
            self.next += 1;
            self.schedule.advance();
            if self.plan.keeps_outcomes {
                self.outcomes.push(Outcome::Unsent as u8);
            }
            record(&mut self.total.lateness, begun_ns - due_ns);
            if let Some(connection) = self.connections.get_mut(index) {
                connection.hit = Some(Hit { number, due_ns, begun_ns, is_sent: false });
                self.requests.write(self.plan.first + number, connection.request());
            }
            self.send(index);
        }
    }

    /// Send a connection's hit, or begin to connect for it.
    fn send(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.state == State::Idle {
            connection.state = State::Busy;
            if connection.flush(&mut self.wire).is_err() {
                self.ended(index, State::Busy);
            }
        } else if self.open(index).is_err() {
            self.refused(index);
        }
    }

    fn look(&mut self, event: epoll::Event, scratch: &mut [u8]) {
        let index = event.data.u64() as usize;
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.stream().is_none() {
            return;
        }
        let before = connection.state;
        match connection.look(&mut self.wire, scratch) {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Opened) => {
                if connection.hit.is_some() {
                    self.send(index);
                }
            }
            Ok(Progress::Answered(answer)) => {
                let is_kept = connection.state == State::Idle;
                // It is the server's to close; but not for ever.
                connection.retry_ns = self.started.elapsed().as_nanos() as u64 + ENDING_NS;
                let is_closed = connection.state == State::Closed;
                self.settle(index, answer.outcome);
                if is_kept || is_closed {
                    self.free.push_back(index);
                }
            }
            Ok(Progress::Ended) => self.ended(index, before),
            Err(_) if before == State::Opening => self.refused(index),
            Err(_) => self.ended(index, before),
        }
    }

    /// A connection has ended: with an answer owed, or between two hits. `before` is what it waited for.
    fn ended(&mut self, index: usize, before: State) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.close();
        match connection.hit {
            Some(hit) if hit.is_sent => {
                self.settle(index, Outcome::Unanswered);
                self.free.push_back(index);
            }
            // Nothing of it left: it goes with a new connection.
            Some(_) => self.send(index),
            None if before == State::Ending => self.free.push_back(index),
            // An idle one is in the list of free ones already.
            None => {}
        }
    }

    /// Nobody listens, or there is no port left: try again soon.
    fn refused(&mut self, index: usize) {
        let now_ns = self.now_ns();
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.close();
        if connection.hit.is_some() {
            connection.state = State::Refused;
            connection.retry_ns = now_ns + RETRY_NS;
        }
    }

    fn settle(&mut self, index: usize, outcome: Outcome) {
        let now_ns = self.now_ns();
        let Some(hit) = self.connections.get_mut(index).and_then(|connection| connection.hit.take()) else { return };
        self.total.count(outcome);
        self.interval.count(outcome);
        if let Some(kept) = self.outcomes.get_mut(hit.number as usize) {
            *kept = outcome as u8;
        }
        record(&mut self.total.latency, now_ns - hit.due_ns);
        record(&mut self.interval.latency, now_ns - hit.due_ns);
        record(&mut self.total.uncorrected, now_ns - hit.begun_ns);
    }

    /// Connect again where nobody listened; give up what has waited for too long.
    fn sweep(&mut self, now_ns: u64) {
        for index in 0..self.connections.len() {
            let Some(connection) = self.connections.get_mut(index) else { return };
            match (connection.state, connection.hit) {
                (State::Refused, Some(_)) if now_ns >= connection.retry_ns => {
                    connection.state = State::Closed;
                    self.send(index);
                }
                (State::Ending, None) if now_ns >= connection.retry_ns => self.ended(index, State::Ending),
                (State::Busy, Some(hit)) if now_ns > hit.begun_ns + self.plan.patience_ns => {
                    self.ended(index, State::Busy)
                }
                _ => {}
            }
        }
    }

    /// What is left at the end counts as it stands: its latency is at least what it has waited.
    fn give_up(&mut self, now_ns: u64, end_ns: u64) {
        for index in 0..self.connections.len() {
            match self.connections.get(index).and_then(|connection| connection.hit) {
                Some(hit) if hit.is_sent => self.settle(index, Outcome::Unanswered),
                Some(_) => self.settle(index, Outcome::Unsent),
                None => {}
            }
        }
        while self.is_due_ever(end_ns) {
            self.total.count(Outcome::Unsent);
            record(&mut self.total.latency, now_ns - self.schedule.due_ns());
            if self.plan.keeps_outcomes {
                self.outcomes.push(Outcome::Unsent as u8);
            }
            self.schedule.advance();
        }
    }
}

fn record(histogram: &mut hdrhistogram::Histogram<u64>, ns: u64) {
    histogram.saturating_record((ns / 1_000).max(1));
}
