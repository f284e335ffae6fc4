//! The part of a connection that takes hits: wait for the whole body, hand both to the handler, queue the answer.
//!
//! A hit with `Content-Length` is left in the input until it is complete and then handled in place. A chunked one,
//! which browsers never send, is decoded as it comes; its head is kept and parsed again at the end.
use super::chunked::{ChunkedDecoder, Step};
use super::connection::{Connection, State, Taken, Turn};
use super::endpoint::Endpoint;
use super::head::{self, BodyLength, Fields, Head};
use super::rejection::Rejection;
use super::response::{Answers, CONTINUE, Reply};
use super::{HitHandler, HitOutcome, HitRequest};

/// A hit with a chunked body: the head as it came, and the body so far.
#[derive(Debug)]
pub(super) struct ChunkedHit {
    head: Vec<u8>,
    body: Vec<u8>,
    decoder: ChunkedDecoder,
}

/// What a hit endpoint does with a method.
enum Action {
    Hit,
    Preflight,
    Refuse,
}

fn action(endpoint: Endpoint, method: &str) -> Action {
    match (endpoint, method) {
        (Endpoint::Event | Endpoint::Send | Endpoint::Batch, "POST") | (Endpoint::Gif, "GET" | "HEAD") => Action::Hit,
        (_, "OPTIONS") => Action::Preflight,
        _ => Action::Refuse,
    }
}

impl Connection {
    /// Takes the hit whose head was just parsed, if its body is here.
    #[inline]
    pub(super) fn take_hit<H: HitHandler>(
        &mut self,
        head: &Head<'_, '_>,
        endpoint: Endpoint,
        rest: &[u8],
        turn: &mut Turn<'_, H>,
    ) -> Taken {
        let max_body_bytes = self.settings.limits.max_hit_body_bytes;
        match head.body {
            BodyLength::Fixed(bytes) => {
                let body_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                if body_bytes > max_body_bytes {
                    self.refuse_body(head, endpoint, turn);
                    return Taken::Bytes(0);
                }
                self.announce(head, body_bytes > 0);
                let complete_bytes = head.bytes + body_bytes;
                let Some(body) = rest.get(head.bytes..complete_bytes) else {
                    self.state = State::HitBody { complete_bytes };
                    return Taken::Nothing;
                };
                self.answer(head, endpoint, body, turn);
                Taken::Bytes(complete_bytes)
            }
            BodyLength::Chunked => {
                self.announce(head, true);
                let head_bytes = rest.get(..head.bytes).unwrap_or_default().to_vec();
                self.state = State::ChunkedHit(Box::new(ChunkedHit {
                    head: head_bytes,
                    body: Vec::new(),
                    decoder: ChunkedDecoder::new(),
                }));
                Taken::Bytes(head.bytes)
            }
        }
    }

    /// Decodes what is here of a chunked hit.
    pub(super) fn take_chunks<H: HitHandler>(&mut self, rest: &[u8], turn: &mut Turn<'_, H>) -> Taken {
        let limits = self.settings.limits;
        let State::ChunkedHit(hit) = &mut self.state else { return Taken::Nothing };
        let (used, step) = match hit.decoder.step(rest, limits.max_hit_body_bytes, limits.max_chunk_extra_bytes) {
            Ok(found) => found,
            Err(rejection) => {
                self.reject(rejection, turn.now_ms);
                return Taken::Bytes(0);
            }
        };
        match step {
            Step::More if used == 0 => Taken::Nothing,
            Step::More => Taken::Bytes(used),
            Step::Data(data) => {
                if hit.body.len() + data.len() > limits.max_hit_body_bytes {
                    self.end_chunked_hit(turn, |connection, head, endpoint, _, turn| {
                        connection.refuse_body(head, endpoint, turn);
                    });
                } else {
                    hit.body.extend_from_slice(data);
                }
                Taken::Bytes(used)
            }
            Step::End => {
                self.end_chunked_hit(turn, Connection::answer);
                Taken::Bytes(used)
            }
        }
    }

    /// Parses the kept head again and finishes the hit with it.
    fn end_chunked_hit<H: HitHandler>(
        &mut self,
        turn: &mut Turn<'_, H>,
        finish: impl FnOnce(&mut Connection, &Head<'_, '_>, Endpoint, &[u8], &mut Turn<'_, H>),
    ) {
        let State::ChunkedHit(hit) = std::mem::replace(&mut self.state, State::Head) else { return };
        let (mut slots, mut fields) = (head::header_slots(), Fields::default());
        let parsed = head::parse(&hit.head, &mut slots, &mut fields, &self.settings.limits, self.believed());
        match parsed.map(|head| head.and_then(|head| Some((self.settings.endpoints.lookup(head.path)?, head)))) {
            Ok(Some((endpoint, head))) => finish(self, &head, endpoint, &hit.body, turn),
            Ok(None) | Err(_) => self.reject(Rejection::Malformed, turn.now_ms), // it was valid when it came
        }
    }

    /// Sends `100 Continue` once to a client that waits for it. Always when asked, whether or not the body is already
    /// here: then the answers do not depend on how the bytes were cut.
    fn announce(&mut self, head: &Head<'_, '_>, has_body: bool) {
        if head.expects_continue && has_body && !self.continue_sent {
            self.answers.push_interim(CONTINUE);
            self.continue_sent = true;
        }
    }

    /// Answers a complete request to a hit endpoint.
    #[inline]
    fn answer<H: HitHandler>(&mut self, head: &Head<'_, '_>, endpoint: Endpoint, body: &[u8], turn: &mut Turn<'_, H>) {
        let reply = Reply::new(head.minor_version, head.keep_alive, head.method == "HEAD");
        let now_ms = turn.now_ms;
        self.continue_sent = false;
        turn.handled_requests += 1;
        match action(endpoint, head.method) {
            Action::Hit => {
                let body = if endpoint == Endpoint::Gif { &[] } else { body };
                let request = self.hit_request(head, endpoint, body, reply);
                let handler = &mut *turn.handler;
                let logged_hits = &mut turn.logged_hits;
                self.answers.push(reply, |out| {
                    let is_logged = handler.hit(&request, now_ms, out) == HitOutcome::Logged;
                    *logged_hits += usize::from(is_logged);
                    is_logged
                });
            }
            Action::Preflight => self.answers.push_ready(|out| Answers::at(now_ms).preflight(reply, endpoint, out)),
            Action::Refuse => {
                self.answers.push_ready(|out| Answers::at(now_ms).method_not_allowed(reply, endpoint, out));
            }
        }
        if !reply.keep_alive() {
            self.close();
        }
    }

    /// Answers a request whose body is over the limit, and closes: the rest of the body is not worth reading.
    fn refuse_body<H: HitHandler>(&mut self, head: &Head<'_, '_>, endpoint: Endpoint, turn: &mut Turn<'_, H>) {
        let now_ms = turn.now_ms;
        turn.handled_requests += 1;
        if matches!(action(endpoint, head.method), Action::Hit) {
            let reply = Reply::new(head.minor_version, false, head.method == "HEAD");
            let request = self.hit_request(head, endpoint, &[], reply);
            let handler = &mut *turn.handler;
            let logged_hits = &mut turn.logged_hits;
            self.answers.push(reply, |out| {
                let is_logged = handler.hit_too_large(&request, now_ms, out) == HitOutcome::Logged;
                *logged_hits += usize::from(is_logged);
                is_logged
            });
            self.close();
        } else {
            self.reject(Rejection::BodyTooLarge, now_ms);
        }
    }

    #[inline]
    fn hit_request<'a>(&self, head: &Head<'_, 'a>, endpoint: Endpoint, body: &'a [u8], reply: Reply) -> HitRequest<'a> {
        HitRequest { endpoint, query: head.query, body, headers: *head.hit_headers, client: self.client(head), reply }
    }
}
