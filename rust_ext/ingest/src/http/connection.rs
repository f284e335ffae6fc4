//! One connection's state machine: which request the next bytes belong to, and which answers may leave.
//!
//! The caller's loop, per event:
//!
//! ```text
//! socket read ──▶ feed(bytes, now_ms, handler) ─┐
//! group done  ──▶ release(group, ok, now_ms, out) ├─▶ Progress
//! timer       ──▶ expire(now_ms)                  │     logged_hits > 0: mark_group(the open group), commit it soon
//! EOF         ──▶ end_of_input()                ─┘     is_ready: take_ready(now_ms, out), write `out` once
//!                                                       has_request: next_request(), then take_body() while has_body
//!                                                       wants_resume: feed(&[], …) again, after a turn of the loop
//!                                                       pause_reading: stop reading the socket until it is false
//!                                                       is_closing: write what is ready, then close
//! ```
//!
//! Ordering: a delegated request surfaces only when every earlier answer has been handed out, and no later request is
//! looked at until [`Connection::finish_delegated`]. So the application may write to the socket whenever it has a
//! request.
//!
//! A hit that arrives whole while nothing is buffered is parsed in the caller's slice; only unfinished input is copied.
//! Buffered heads and bodies are parsed again when they are complete, and not before: trickling costs no more than the
//! bytes.
use super::answer_queue::{AnswerQueue, GroupId};
use super::client_address::{ClientAddress, PeerAddress, ProxyTrust};
use super::delegated::{BodyEvent, DelegatedRequest, Delegation};
use super::head::{self, BodyLength, Fields, Head};
use super::hit::ChunkedHit;
use super::plain_head;
use super::proxy_protocol::{self, ProxyHeader};
use super::rejection::Rejection;
use super::{HitHandler, HttpSettings};
use std::net::IpAddr;
use std::sync::Arc;

/// A connection whose input has been used up keeps a buffer of up to this size.
const KEPT_CAPACITY_BYTES: usize = 4 * 1024;

/// What there is to do for a connection after a call. All but `logged_hits` describe the present state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Hits that this call appended to the open group. If there are any, call `mark_group` before that group is handed
    /// over.
    pub logged_hits: usize,
    /// `take_ready` has bytes for the socket.
    pub is_ready: bool,
    /// `next_request` has a request for the application.
    pub has_request: bool,
    /// `take_body` has something for the request under way.
    pub has_body: bool,
    /// Buffered input can go on once the ready bytes have been taken: feed an empty slice.
    pub wants_resume: bool,
    /// Enough is buffered: do not read the socket for now.
    pub pause_reading: bool,
    /// Once the ready bytes are written there is nothing more to do: close.
    pub is_closing: bool,
}

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The next request's first byte.
    Idle,
    /// The rest of a head, or the PROXY header.
    Head,
    /// The rest of a hit's body.
    HitBody,
    /// More of a delegated request's body.
    Body,
    /// The application.
    Application,
    /// A commit, or the caller to take ready answers.
    Answers,
    /// The peer to read our last answer and close.
    Linger,
}

/// Why parsing stands still although input is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// `Limits::max_pipelined` answers are waiting.
    Depth,
    /// A delegated request is next and earlier answers are still here, or one has just been finished.
    Order,
}

#[derive(Debug)]
pub(super) enum State {
    /// Before the PROXY header.
    ProxyHeader,
    /// Between requests, or in a head.
    Head,
    /// In the body of a hit whose head is at the input's start; complete at this many bytes of input.
    HitBody { complete_bytes: usize },
    /// In a hit's chunked body.
    ChunkedHit(Box<ChunkedHit>),
    /// The application has a request, or is about to get it.
    Delegated(Box<Delegation>),
    /// Input is ignored; the connection closes when its answers have left.
    Closing,
}

/// One HTTP/1.1 connection, without its socket.
#[derive(Debug)]
pub struct Connection {
    pub(super) settings: Arc<HttpSettings>,
    /// The peer, or the source that its PROXY header names.
    peer: IpAddr,
    peer_is_trusted: bool,
    pub(super) state: State,
    hold: Option<Hold>,
    /// Received, not used yet.
    input: Vec<u8>,
    pub(super) input_ended: bool,
    /// Whether the hit under way has had its `100 Continue`.
    pub(super) continue_sent: bool,
    /// The process stops: the last buffered request's answer ends the connection.
    is_draining: bool,
    pub(super) answers: AnswerQueue,
    waiting: Waiting,
    waiting_since_ms: i64,
}

/// One call of `feed`: what it was given, and what it has done so far.
pub(super) struct Turn<'handler, H> {
    pub now_ms: i64,
    pub handler: &'handler mut H,
    pub logged_hits: usize,
    pub handled_requests: usize,
}

/// What became of the request at the input's start.
pub(super) enum Taken {
    /// It used this many bytes; look for the next one.
    Bytes(usize),
    /// It needs more input, or has to wait: nothing was used.
    Nothing,
}

impl Connection {
    /// A connection just accepted.
    #[must_use]
    pub fn new(settings: Arc<HttpSettings>, peer: PeerAddress, now_ms: i64) -> Connection {
        let peer_ip = peer.ip.to_canonical();
        let expects_proxy_header = settings.trust.expects_proxy_header(peer_ip);
        Connection {
            peer_is_trusted: settings.trust.is_trusted(peer_ip),
            settings,
            peer: peer_ip,
            state: if expects_proxy_header { State::ProxyHeader } else { State::Head },
            hold: None,
            input: Vec::new(),
            input_ended: false,
            continue_sent: false,
            is_draining: false,
            answers: AnswerQueue::default(),
            waiting: Waiting::Head, // the first head's deadline runs from the accept
            waiting_since_ms: now_ms,
        }
    }

    /// Takes what the socket read (or nothing, to resume) and handles every request in it that may be handled now.
    pub fn feed(&mut self, data: &[u8], now_ms: i64, handler: &mut impl HitHandler) -> Progress {
        let mut turn = Turn { now_ms, handler, logged_hits: 0, handled_requests: 0 };
        if self.input.is_empty() {
            let used = self.consume(data, &mut turn);
            self.input.extend_from_slice(data.get(used..).unwrap_or_default());
        } else {
            let old_bytes = self.input.len();
            self.input.extend_from_slice(data);
            if !self.must_wait(old_bytes) {
                let mut input = std::mem::take(&mut self.input);
                let used = self.consume(&input, &mut turn);
                input.drain(..used.min(input.len()));
                if input.is_empty() {
                    input.shrink_to(KEPT_CAPACITY_BYTES);
                }
                self.input = input;
            }
        }
        let is_body_moving = !data.is_empty() && matches!(self.state, State::Delegated(_));
        self.note_waiting(turn.handled_requests > 0 || is_body_moving, now_ms);
        Progress { logged_hits: turn.logged_hits, ..self.progress() }
    }

    /// Names the open group, which the hits logged since the last call wait for. The caller numbers the groups.
    pub fn mark_group(&mut self, group: GroupId) {
        self.answers.mark_group(group);
    }

    /// The group's commit ended: its answers, or as many 503 if it failed, are appended to `out` as far as their turn
    /// has come.
    pub fn release(&mut self, group: GroupId, committed: bool, now_ms: i64, out: &mut Vec<u8>) -> Progress {
        self.answers.resolve(group, committed);
        self.take_ready(now_ms, out);
        self.progress()
    }

    /// Appends to `out` the answers that may leave now.
    pub fn take_ready(&mut self, now_ms: i64, out: &mut Vec<u8>) {
        self.answers.take_ready(now_ms, out);
        self.note_waiting(false, now_ms);
    }

    /// The request for the application, once. Only when every earlier answer has been taken.
    pub fn next_request(&mut self) -> Option<DelegatedRequest> {
        match &mut self.state {
            State::Delegated(delegation) if self.answers.is_empty() => delegation.request.take(),
            _ => None,
        }
    }

    /// What the body of the application's request has to offer. After a chunk, look at [`Connection::progress`]: the
    /// rest of the body may be buffered (`wants_resume`).
    pub fn take_body(&mut self) -> BodyEvent {
        match &mut self.state {
            State::Delegated(delegation) => delegation.take_body(self.input_ended),
            _ => BodyEvent::Aborted,
        }
    }

    /// The application has answered its request. `keep_alive` is whether its answer left the connection usable; the
    /// connection also closes when the request said so, or its body is unfinished.
    pub fn finish_delegated(&mut self, keep_alive: bool, now_ms: i64) -> Progress {
        if let State::Delegated(delegation) = &self.state {
            let stays = keep_alive && delegation.keep_alive && delegation.is_body_complete();
            if stays && !(self.input_ended && self.input.is_empty()) {
                self.state = State::Head;
                self.hold = (!self.input.is_empty()).then_some(Hold::Order);
            } else {
                self.close();
            }
            self.note_waiting(true, now_ms);
        }
        self.progress()
    }

    /// The peer closed its side. Complete requests that are buffered are still answered.
    pub fn end_of_input(&mut self, now_ms: i64) -> Progress {
        self.input_ended = true;
        let is_unfinished = match self.state {
            State::Delegated(_) => false, // the application hears of it through `take_body`
            State::Head => self.hold.is_none(),
            _ => true,
        };
        if is_unfinished {
            self.close();
        }
        self.note_waiting(false, now_ms);
        self.progress()
    }

    /// The process stops: the answer to the last request that is buffered when it is handled says `Connection: close`.
    /// An idle connection stays open, since its next request may be on its way.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// What it waits for, and since when.
    #[must_use]
    pub fn waiting(&self) -> (Waiting, i64) {
        (self.waiting, self.waiting_since_ms)
    }

    /// When [`Connection::expire`] should be called unless something happens before; `None` while only we are awaited.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<i64> {
        let limits = &self.settings.limits;
        let allowance_ms = match self.waiting {
            Waiting::Idle => limits.keep_alive_idle_ms,
            Waiting::Head => limits.head_deadline_ms,
            Waiting::HitBody => limits.hit_body_deadline_ms,
            Waiting::Body => limits.body_idle_ms,
            Waiting::Linger => limits.linger_ms,
            Waiting::Application | Waiting::Answers => return None,
        };
        Some(self.waiting_since_ms.saturating_add(allowance_ms))
    }

    /// The deadline has passed: a request under way is answered 408, an idle connection just closes. Does nothing
    /// before it.
    pub fn expire(&mut self, now_ms: i64) -> Progress {
        if self.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            match &mut self.state {
                State::Delegated(delegation) => delegation.reject(Rejection::Timeout),
                State::Head if self.input.is_empty() => self.close(),
                State::Head | State::HitBody { .. } | State::ChunkedHit(_) => self.reject(Rejection::Timeout, now_ms),
                State::ProxyHeader | State::Closing => self.close(),
            }
            self.note_waiting(true, now_ms);
        }
        self.progress()
    }

    /// What there is to do.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let limits = &self.settings.limits;
        let mut progress = Progress { is_ready: self.answers.has_ready(), ..Progress::default() };
        match &self.state {
            State::Delegated(delegation) => {
                let is_full = delegation.queued_bytes() >= limits.max_buffered_bytes;
                progress.has_request = delegation.request.is_some() && self.answers.is_empty();
                progress.has_body = delegation.request.is_none() && (delegation.has_event() || self.input_ended);
                progress.wants_resume = !self.input.is_empty() && !delegation.is_body_complete() && !is_full;
                progress.pause_reading = is_full || self.input.len() >= limits.max_buffered_bytes;
            }
            State::Head => {
                progress.wants_resume = match self.hold {
                    Some(Hold::Depth) => self.answers.has_ready() || self.answers.answers() < limits.max_pipelined,
                    Some(Hold::Order) => !self.answers.has_waiting(),
                    None => false,
                };
                progress.pause_reading = self.hold.is_some() && self.input.len() >= limits.max_buffered_bytes;
            }
            State::Closing => progress.is_closing = !self.answers.has_waiting(),
            State::ProxyHeader | State::HitBody { .. } | State::ChunkedHit(_) => {}
        }
        progress
    }

    /// Handles what it may of the input's start; returns the bytes used.
    fn consume<H: HitHandler>(&mut self, input: &[u8], turn: &mut Turn<'_, H>) -> usize {
        self.hold = None;
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let taken = match &mut self.state {
                State::Head => self.take_request(rest, turn),
                State::HitBody { complete_bytes } if rest.len() >= *complete_bytes => {
                    self.state = State::Head;
                    Taken::Bytes(0)
                }
                State::HitBody { .. } => Taken::Nothing,
                State::ChunkedHit(_) => self.take_chunks(rest, turn),
                State::Delegated(delegation) => {
                    let limits = &self.settings.limits;
                    return used
                        + delegation.consume(
                            rest,
                            limits.max_buffered_bytes,
                            limits.max_delegated_body_bytes,
                            limits.max_chunk_extra_bytes,
                        );
                }
                State::ProxyHeader => self.take_proxy_header(rest),
                State::Closing => return input.len(),
            };
            match taken {
                Taken::Bytes(bytes) => used += bytes,
                Taken::Nothing if self.input_ended && self.hold.is_none() => self.close(),
                Taken::Nothing => return used,
            }
        }
    }

    /// Takes the request at the input's start, if all of what decides about it is here.
    fn take_request<H: HitHandler>(&mut self, rest: &[u8], turn: &mut Turn<'_, H>) -> Taken {
        if rest.is_empty() {
            return Taken::Nothing;
        }
        if self.answers.answers() >= self.settings.limits.max_pipelined {
            self.hold = Some(Hold::Depth);
            return Taken::Nothing;
        }
        let limits = &self.settings.limits;
        let mut fields = Fields::default();
        if let Some(head) = plain_head::parse(rest, &mut fields, limits, self.believed())
            && let Some(endpoint) = self.settings.endpoints.lookup(head.path)
        {
            return self.take_hit(&self.or_last(head, rest), endpoint, rest, turn);
        }
        let (mut slots, mut fields) = (head::header_slots(), Fields::default());
        let head = match head::parse(rest, &mut slots, &mut fields, limits, self.believed()) {
            Ok(Some(head)) => self.or_last(head, rest),
            Ok(None) => return Taken::Nothing,
            Err(rejection) => {
                self.reject(rejection, turn.now_ms);
                return Taken::Bytes(0);
            }
        };
        match self.settings.endpoints.lookup(head.path) {
            Some(endpoint) => self.take_hit(&head, endpoint, rest, turn),
            None => self.delegate(&head, turn),
        }
    }

    /// The head, as that of the connection's last request if nothing comes after it while the process stops.
    #[inline]
    fn or_last<'room, 'input>(&self, mut head: Head<'room, 'input>, rest: &[u8]) -> Head<'room, 'input> {
        if self.is_draining && is_last(&head, rest) {
            head.keep_alive = false;
        }
        head
    }

    fn delegate<H>(&mut self, head: &Head<'_, '_>, turn: &mut Turn<'_, H>) -> Taken {
        if matches!(head.body, BodyLength::Fixed(bytes) if bytes > self.settings.limits.max_delegated_body_bytes) {
            self.reject(Rejection::BodyTooLarge, turn.now_ms);
            return Taken::Bytes(0);
        }
        if !self.answers.is_empty() {
            self.hold = Some(Hold::Order);
            return Taken::Nothing;
        }
        let request = DelegatedRequest::from_head(head, self.client(head), self.peer_is_trusted);
        self.state = State::Delegated(Box::new(Delegation::new(request, head.body)));
        turn.handled_requests += 1;
        Taken::Bytes(head.bytes)
    }

    fn take_proxy_header(&mut self, rest: &[u8]) -> Taken {
        match proxy_protocol::parse(rest, self.settings.limits.max_proxy_header_bytes) {
            ProxyHeader::Partial => Taken::Nothing,
            ProxyHeader::Malformed => {
                self.close(); // whoever speaks this is no HTTP client: no answer
                Taken::Bytes(0)
            }
            ProxyHeader::Complete { source, bytes } => {
                if let Some(source) = source {
                    self.peer = source;
                    self.peer_is_trusted = self.settings.trust.is_trusted(source);
                }
                self.state = State::Head;
                Taken::Bytes(bytes)
            }
        }
    }

    /// The trust settings, if they concern this peer.
    #[inline]
    pub(super) fn believed(&self) -> Option<&ProxyTrust> {
        self.peer_is_trusted.then_some(&self.settings.trust)
    }

    /// Who sent this request.
    #[inline]
    pub(super) fn client(&self, head: &Head<'_, '_>) -> ClientAddress {
        match self.believed() {
            Some(trust) if head.forwarded.lines == 1 => {
                trust.client_behind(self.peer, std::iter::once(head.forwarded.first))
            }
            Some(trust) if head.forwarded.lines > 1 => {
                let lines = head.headers.iter().filter(|header| trust.is_forwarded_header(header.name.as_bytes()));
                trust.client_behind(self.peer, lines.map(|header| header.value))
            }
            _ => ClientAddress { ip: self.peer },
        }
    }

    /// Queues the one answer to a refused request, after those before it, and ends the connection.
    pub(super) fn reject(&mut self, rejection: Rejection, now_ms: i64) {
        self.answers.push_ready(|out| rejection.answer(now_ms, out));
        self.close();
    }

    /// Ends the connection once its answers have left.
    pub(super) fn close(&mut self) {
        self.state = State::Closing;
        self.hold = None;
        self.input = Vec::new();
    }

    /// Whether the input, of which `old_bytes` were looked at before, can give nothing new. Keeps trickled requests
    /// cheap.
    fn must_wait(&self, old_bytes: usize) -> bool {
        let limits = &self.settings.limits;
        match (&self.state, self.hold) {
            (State::Head, Some(Hold::Depth)) => self.answers.answers() >= limits.max_pipelined,
            (State::Head, Some(Hold::Order)) => !self.answers.is_empty(),
            (State::Head, None) => {
                // A verdict needs a line end, the first bytes (up to one CRLF and a letter), or one byte over a limit;
                // the limits count from the first byte after that CRLF.
                let passes = |limit_bytes: usize| old_bytes < limit_bytes + 2 && self.input.len() >= limit_bytes;
                let new = self.input.get(old_bytes..).unwrap_or_default();
                old_bytes > 2
                    && memchr::memchr(b'\n', new).is_none()
                    && !passes(limits.max_request_line_bytes + 2)
                    && !passes(limits.max_head_bytes + 1)
                    && !self.input_ended
            }
            (State::HitBody { complete_bytes }, _) => self.input.len() < *complete_bytes,
            _ => false,
        }
    }

    fn note_waiting(&mut self, restart: bool, now_ms: i64) {
        let waiting = match &self.state {
            State::Closing if self.answers.is_empty() => Waiting::Linger,
            State::Closing => Waiting::Answers,
            State::ProxyHeader => Waiting::Head,
            State::Head if self.hold.is_some() => Waiting::Answers,
            State::Head if !self.input.is_empty() => Waiting::Head,
            State::Head if !self.answers.is_empty() => Waiting::Answers,
            State::Head if self.waiting == Waiting::Head && !restart => Waiting::Head, // nothing since the accept
            State::Head => Waiting::Idle,
            State::HitBody { .. } | State::ChunkedHit(_) => Waiting::HitBody,
            State::Delegated(delegation) if delegation.awaits_input(self.settings.limits.max_buffered_bytes) => {
                Waiting::Body
            }
            State::Delegated(_) => Waiting::Application,
        };
        if restart || waiting != self.waiting {
            self.waiting = waiting;
            self.waiting_since_ms = now_ms;
        }
    }
}

/// Whether the input ends with this request, as far as its head tells.
fn is_last(head: &Head<'_, '_>, input: &[u8]) -> bool {
    match head.body {
        BodyLength::Fixed(bytes) => (input.len() as u64) <= (head.bytes as u64).saturating_add(bytes),
        BodyLength::Chunked => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::{Answers, HitOutcome, HitRequest};
    use super::*;

    /// Remembers where the last body lay.
    struct Witness {
        body_at: *const u8,
    }

    impl HitHandler for Witness {
        fn hit(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome {
            self.body_at = request.body.as_ptr();
            Answers::at(now_ms).event_accepted(request.reply, answer);
            HitOutcome::Logged
        }

        fn hit_too_large(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome {
            Answers::at(now_ms).body_too_large(request.reply, answer);
            HitOutcome::Logged
        }
    }

    const HIT: &[u8] = b"POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

    fn connection() -> (Connection, Witness) {
        let peer = PeerAddress::parse("192.0.2.9", 1).unwrap();
        (Connection::new(Arc::default(), peer, 0), Witness { body_at: std::ptr::null() })
    }

    #[test]
    fn a_whole_hit_is_handled_in_the_callers_slice() {
        let (mut connection, mut witness) = connection();
        assert_eq!(connection.feed(HIT, 0, &mut witness).logged_hits, 1);
        assert!(HIT.as_ptr_range().contains(&witness.body_at));
        assert_eq!(connection.input.capacity(), 0);
        connection.feed(&HIT[..9], 0, &mut witness);
        assert_eq!(connection.feed(&HIT[9..], 0, &mut witness).logged_hits, 1);
        assert!(!HIT.as_ptr_range().contains(&witness.body_at) && connection.input.is_empty());
    }

    #[test]
    fn an_unfinished_line_is_not_parsed_again() {
        let (mut connection, mut witness) = connection();
        let waited = |connection: &mut Connection, data: &[u8]| {
            let old_bytes = connection.input.len();
            connection.input.extend_from_slice(data);
            let must_wait = connection.must_wait(old_bytes);
            connection.input.truncate(old_bytes);
            must_wait
        };
        connection.feed(b"GET /", 0, &mut witness);
        assert!(waited(&mut connection, b"hit.gif"));
        assert!(!waited(&mut connection, b"hit.gif HTTP/1.1\r\n"));
        assert!(!waited(&mut connection, &[b'x'; 8_192]));
    }

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 256, "{}", size_of::<Connection>());
    }

    #[test]
    fn draining_closes_with_the_last_buffered_answer() {
        let (mut connection, mut witness) = connection();
        connection.drain();
        let progress = connection.feed(&[HIT, HIT].concat(), 0, &mut witness);
        assert_eq!(progress.logged_hits, 2);
        connection.mark_group(1);
        let mut answers = Vec::new();
        assert!(connection.release(1, true, 0, &mut answers).is_closing);
        let answers = String::from_utf8(answers).unwrap().to_ascii_lowercase();
        assert_eq!(answers.matches("connection: close").count(), 1);
        assert!(answers.rfind("http/1.1 202").unwrap() < answers.find("connection: close").unwrap());
    }
}
