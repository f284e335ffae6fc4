//! Drives a [`Connection`] as the server's front does, and writes down all that happened.
//!
//! Used by the tests beside it and by the fuzz target `http`. One [`Outcome`] is a pure function of the bytes, the
//! settings and the script: the tests compare the outcomes of one input cut in different ways.
use footfall_ingest::http::{
    Answers, BodyEvent, Connection, HitHandler, HitOutcome, HitRequest, HttpSettings, PeerAddress, Progress,
};
use std::sync::Arc;

/// The only time in these tests: every answer has the same `Date`.
pub const NOW_MS: i64 = 784_111_777_000;

/// When the answers of logged hits are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each feed is followed by its commit.
    Eager,
    /// Nothing is committed, taken or resumed until all input is there.
    Lazy,
    /// Each feed is followed by its commit, which fails.
    Failing,
}

/// Something the connection handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A hit, in words.
    Hit(String),
    /// A hit whose body was refused, in words.
    TooLarge(String),
    /// A delegated request, in words.
    Request(String),
    /// How a delegated body ended, and what had come of it.
    Body(Vec<u8>, String),
}

/// All that happened to one connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    pub events: Vec<Event>,
    /// What the socket would have sent, the application's answers included.
    pub written: Vec<u8>,
    /// Whether the connection had ended by itself before the peer's end of input.
    pub closed_itself: bool,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Outcome")
            .field("events", &self.events)
            .field("written", &String::from_utf8_lossy(&self.written))
            .field("closed_itself", &self.closed_itself)
            .finish()
    }
}

/// Writes hits down. A body that holds `debug` is answered without a log, one that holds `full` gets a 503.
#[derive(Debug, Default)]
pub struct Recorder {
    pub events: Vec<Event>,
}

impl HitHandler for Recorder {
    fn hit(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome {
        self.events.push(Event::Hit(in_words(request)));
        let answers = Answers::at(now_ms);
        let holds = |word: &[u8]| request.body.windows(word.len()).any(|window| window == word);
        if holds(b"debug") {
            answers.json(request.reply, None, b"{}", answer);
            HitOutcome::Answered
        } else if holds(b"full") {
            answers.unavailable(request.reply, 1, answer);
            HitOutcome::Unavailable
        } else if request.endpoint == footfall_ingest::http::Endpoint::Gif {
            answers.gif(request.reply, None, answer);
            HitOutcome::Logged
        } else {
            answers.event_accepted(request.reply, answer);
            HitOutcome::Logged
        }
    }

    fn hit_too_large(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome {
        self.events.push(Event::TooLarge(in_words(request)));
        Answers::at(now_ms).body_too_large(request.reply, answer);
        HitOutcome::Logged
    }
}

fn in_words(request: &HitRequest<'_>) -> String {
    let text = String::from_utf8_lossy;
    let mut words =
        format!("{:?} ?{} {} {}", request.endpoint, text(request.query), request.client.ip, text(request.body));
    for (name, value) in [
        ("agent", request.headers.user_agent),
        ("referer", request.headers.referer),
        ("purpose", request.headers.purpose),
        ("type", request.headers.content_type),
        ("umami", request.headers.umami_cache),
    ] {
        if let Some(value) = value {
            words.push_str(&format!(" {name}={}", text(value)));
        }
    }
    if !request.reply.keep_alive() {
        words.push_str(" close");
    }
    words
}

/// One connection and its caller.
pub struct Driver {
    pub connection: Connection,
    pub recorder: Recorder,
    pub written: Vec<u8>,
    /// The delegated request that the application works on: the start of its answer, and its body so far.
    application: Option<Application>,
    commits_succeed: bool,
    next_group: u64,
    open_groups: Vec<u64>,
}

struct Application {
    keep_alive: bool,
    body: Vec<u8>,
}

impl Driver {
    pub fn new(settings: HttpSettings, peer: &str) -> Driver {
        let peer = PeerAddress::parse(peer, 4711).unwrap_or_else(|| unreachable!("the tests' own address"));
        Driver {
            connection: Connection::new(Arc::new(settings), peer, NOW_MS),
            recorder: Recorder::default(),
            written: Vec::new(),
            application: None,
            commits_succeed: true,
            next_group: 0,
            open_groups: Vec::new(),
        }
    }

    /// Feeds one read; its hits form one group, which stays open.
    pub fn feed(&mut self, data: &[u8]) -> Progress {
        let progress = self.connection.feed(data, NOW_MS, &mut self.recorder);
        if progress.logged_hits > 0 {
            self.connection.mark_group(self.next_group);
            self.open_groups.push(self.next_group);
            self.next_group += 1;
        }
        progress
    }

    /// Releases every open group, takes every answer, lets the application work, resumes, until nothing moves.
    pub fn settle(&mut self) {
        loop {
            for group in std::mem::take(&mut self.open_groups) {
                self.connection.release(group, self.commits_succeed, NOW_MS, &mut self.written);
            }
            self.connection.take_ready(NOW_MS, &mut self.written);
            self.run_application();
            if !self.connection.progress().wants_resume {
                break;
            }
            self.feed(&[]);
        }
        let progress = self.connection.progress();
        assert!(!progress.is_ready && !progress.has_request && self.open_groups.is_empty(), "{progress:?}");
    }

    fn run_application(&mut self) {
        if let Some(request) = self.connection.next_request() {
            let headers: Vec<String> = request
                .headers
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect();
            self.recorder.events.push(Event::Request(format!(
                "{} {} 1.{} {} {headers:?}{}",
                request.method,
                request.target,
                request.minor_version,
                request.client.ip,
                if request.is_forwarded_https { " https" } else { "" }
            )));
            if request.expects_continue {
                self.written.extend_from_slice(footfall_ingest::http::response::CONTINUE);
            }
            self.application = Some(Application { keep_alive: request.keep_alive, body: Vec::new() });
        }
        while let Some(application) = &mut self.application {
            let end = match self.connection.take_body() {
                BodyEvent::Pending => return,
                BodyEvent::Chunk(data) => {
                    application.body.extend_from_slice(&data);
                    continue;
                }
                BodyEvent::Complete => {
                    let connection = if application.keep_alive { "" } else { "Connection: close\r\n" };
                    let answer = format!("HTTP/1.1 200 OK\r\n{connection}Content-Length: 4\r\n\r\napp\n");
                    self.written.extend_from_slice(answer.as_bytes());
                    "complete".to_owned()
                }
                BodyEvent::Rejected(rejection) => {
                    rejection.answer(NOW_MS, &mut self.written);
                    rejection.label().to_owned()
                }
                BodyEvent::Aborted => "aborted".to_owned(),
            };
            let is_complete = end == "complete";
            self.recorder.events.push(Event::Body(std::mem::take(&mut application.body), end));
            self.application = None;
            self.connection.finish_delegated(is_complete, NOW_MS);
        }
    }

    /// The application answers nothing and is done; then everything moves that can.
    pub fn settle_after_application(&mut self) {
        self.connection.finish_delegated(true, NOW_MS);
        self.settle();
    }

    /// Ends the input and tells what happened.
    pub fn finish(mut self) -> Outcome {
        self.settle();
        let closed_itself = self.connection.progress().is_closing;
        self.connection.end_of_input(NOW_MS);
        self.settle();
        assert!(self.connection.progress().is_closing, "open after the end of input: {:?}", self.connection);
        Outcome { events: self.recorder.events, written: self.written, closed_itself }
    }
}

/// Feeds the pieces one after the other.
pub fn run<'a>(settings: HttpSettings, peer: &str, pace: Pace, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut driver = Driver::new(settings, peer);
    driver.commits_succeed = pace != Pace::Failing;
    for piece in pieces {
        driver.feed(piece);
        if pace != Pace::Lazy {
            driver.settle();
        }
    }
    driver.finish()
}

/// The statuses of the answers in `written`, 1xx included.
///
/// # Panics
/// The bytes are not a row of well-formed answers.
pub fn statuses(written: &[u8]) -> Vec<u16> {
    let mut rest = written;
    let mut statuses = Vec::new();
    while !rest.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head_bytes = match response.parse(rest) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            other => panic!("{other:?} in {}", String::from_utf8_lossy(rest)),
        };
        let status = response.code.unwrap_or(0);
        let lengths: Vec<usize> = response
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("content-length"))
            .map(|header| String::from_utf8_lossy(header.value).parse().unwrap_or(usize::MAX))
            .collect();
        statuses.push(status);
        rest = &rest[head_bytes..];
        match (status, lengths.as_slice()) {
            (100 | 204, []) => {}
            (200.., [body_bytes]) => {
                // The answer to a HEAD has a length and no body; no body of ours starts like an answer.
                let is_head = *body_bytes > 0 && (rest.is_empty() || rest.starts_with(b"HTTP/1.1 "));
                if !is_head {
                    assert!(rest.len() >= *body_bytes, "a body is cut: {}", String::from_utf8_lossy(written));
                    rest = &rest[*body_bytes..];
                }
            }
            _ => panic!("{status} with lengths {lengths:?}"),
        }
    }
    statuses
}
