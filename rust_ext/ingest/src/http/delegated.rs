//! A request for the web application: its head, then its body in pieces.
use super::chunked::{ChunkedDecoder, Step};
use super::client_address::ClientAddress;
use super::head::{BodyLength, Head};
use super::rejection::Rejection;

/// The head of a request that is not a hit. Owned: it outlives the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRequest {
    /// As sent; methods are case-sensitive.
    pub method: String,
    /// Origin-form (`/path?query`), or `*` of `OPTIONS *`.
    pub target: String,
    /// 0 or 1.
    pub minor_version: u8,
    /// Names and values in the order sent. Exactly one valid `Host` in HTTP/1.1; an absolute-form target's authority
    /// has taken its place.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Who sent it, after the trusted-proxy rules.
    pub client: ClientAddress,
    /// A trusted proxy says that the browser spoke HTTPS to it (`X-Forwarded-Proto`).
    pub is_forwarded_https: bool,
    /// Whether the peer wants the connection kept; pass it on to [`super::Connection::finish_delegated`].
    pub keep_alive: bool,
    /// The peer waits for [`super::response::CONTINUE`] before it sends the body.
    pub expects_continue: bool,
    /// Whether a body may follow.
    pub has_body: bool,
}

impl DelegatedRequest {
    pub(super) fn from_head(head: &Head<'_, '_>, client: ClientAddress, peer_is_trusted: bool) -> DelegatedRequest {
        let mut headers: Vec<(String, Vec<u8>)> =
            head.headers.iter().map(|header| (header.name.to_owned(), header.value.to_owned())).collect();
        if let Some(authority) = head.authority {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
            headers.push(("Host".to_owned(), authority.as_bytes().to_owned()));
        }
        let forwarded_proto = head.headers.iter().rfind(|header| header.name.eq_ignore_ascii_case("x-forwarded-proto"));
        let last_proto = forwarded_proto.and_then(|header| header.value.rsplit(|byte| *byte == b',').next());
        let target = if head.target.starts_with('?') { format!("/{}", head.target) } else { head.target.to_owned() };
        let has_body = head.body != BodyLength::Fixed(0);
        DelegatedRequest {
            method: head.method.to_owned(),
            target,
            minor_version: head.minor_version,
            headers,
            client,
            is_forwarded_https: peer_is_trusted
                && last_proto.is_some_and(|proto| proto.trim_ascii().eq_ignore_ascii_case(b"https")),
            keep_alive: head.keep_alive,
            expects_continue: head.expects_continue && has_body,
            has_body,
        }
    }
}

/// What the body of the request under way has to offer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEvent {
    /// Nothing yet.
    Pending,
    /// The next bytes, transfer coding removed.
    Chunk(Vec<u8>),
    /// All of it has been handed out.
    Complete,
    /// It is malformed, too large or too late. Tell the application that the connection is gone; unless it has begun to
    /// answer, send [`Rejection::answer`]; then `finish_delegated(false)`.
    Rejected(Rejection),
    /// The peer closed before sending all of it.
    Aborted,
}

#[derive(Debug)]
enum Framing {
    Fixed { remaining_bytes: u64 },
    Chunked(ChunkedDecoder),
    Done,
    Rejected(Rejection),
}

/// The request under way and the part of its body that the application has not taken yet.
#[derive(Debug)]
pub(super) struct Delegation {
    /// Until `next_request` takes it.
    pub request: Option<DelegatedRequest>,
    pub keep_alive: bool,
    framing: Framing,
    queued: Vec<u8>,
    received_bytes: u64,
}

impl Delegation {
    pub(super) fn new(request: DelegatedRequest, body: BodyLength) -> Delegation {
        let framing = match body {
            BodyLength::Fixed(0) => Framing::Done,
            BodyLength::Fixed(remaining_bytes) => Framing::Fixed { remaining_bytes },
            BodyLength::Chunked => Framing::Chunked(ChunkedDecoder::new()),
        };
        let keep_alive = request.keep_alive;
        Delegation { request: Some(request), keep_alive, framing, queued: Vec::new(), received_bytes: 0 }
    }

    pub(super) fn is_body_complete(&self) -> bool {
        matches!(self.framing, Framing::Done)
    }

    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.framing, Framing::Rejected(_))
    }

    pub(super) fn reject(&mut self, rejection: Rejection) {
        self.framing = Framing::Rejected(rejection);
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued.len()
    }

    /// Whether the next move is the peer's.
    pub(super) fn awaits_input(&self, max_queued_bytes: usize) -> bool {
        matches!(self.framing, Framing::Fixed { .. } | Framing::Chunked(_)) && self.queued.len() < max_queued_bytes
    }

    /// Whether the application has something to fetch.
    pub(super) fn has_event(&self) -> bool {
        !self.queued.is_empty() || self.is_body_complete() || self.is_rejected()
    }

    /// Moves body bytes from the input into the queue while it has room; returns the input bytes used. What follows the
    /// body's end is left.
    pub(super) fn consume(
        &mut self,
        input: &[u8],
        max_queued_bytes: usize,
        max_body_bytes: u64,
        max_extra_bytes: usize,
    ) -> usize {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let room = max_queued_bytes.saturating_sub(self.queued.len());
            if rest.is_empty() {
                return used;
            }
            match &mut self.framing {
                Framing::Done => return used,
                Framing::Rejected(_) => return input.len(), // nothing after a framing error means anything
                Framing::Fixed { .. } | Framing::Chunked(_) if room == 0 => return used,
                Framing::Fixed { remaining_bytes } => {
                    let wanted = usize::try_from(*remaining_bytes).unwrap_or(usize::MAX).min(room);
                    let data = rest.get(..wanted).unwrap_or(rest);
                    self.queued.extend_from_slice(data);
                    used += data.len();
                    *remaining_bytes -= data.len() as u64;
                    if *remaining_bytes == 0 {
                        self.framing = Framing::Done;
                    }
                }
                Framing::Chunked(decoder) => match decoder.step(rest, room, max_extra_bytes) {
                    Err(rejection) => self.framing = Framing::Rejected(rejection),
                    Ok((step_used, step)) => {
                        used += step_used;
                        match step {
                            Step::More => return used,
                            Step::End => self.framing = Framing::Done,
                            Step::Data(data) => {
                                // Up to the limit everything is handed out, so that the cut of the reads does not show.
                                let allowed_bytes = max_body_bytes.saturating_sub(self.received_bytes);
                                let allowed = data.get(..usize::try_from(allowed_bytes).unwrap_or(usize::MAX));
                                self.queued.extend_from_slice(allowed.unwrap_or(data));
                                self.received_bytes += data.len() as u64;
                                if self.received_bytes > max_body_bytes {
                                    self.framing = Framing::Rejected(Rejection::BodyTooLarge);
                                }
                            }
                        }
                    }
                },
            }
        }
    }

    /// The next event; `input_ended` when the peer has closed its side.
    pub(super) fn take_body(&mut self, input_ended: bool) -> BodyEvent {
        if !self.queued.is_empty() {
            return BodyEvent::Chunk(std::mem::take(&mut self.queued));
        }
        match &self.framing {
            Framing::Done => BodyEvent::Complete,
            Framing::Rejected(rejection) => BodyEvent::Rejected(*rejection),
            Framing::Fixed { .. } | Framing::Chunked(_) if input_ended => BodyEvent::Aborted,
            Framing::Fixed { .. } | Framing::Chunked(_) => BodyEvent::Pending,
        }
    }
}
