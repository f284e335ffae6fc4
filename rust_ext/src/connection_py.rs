//! A connection for Python: one call per read, one write per batch of answers.
//!
//! `feed` and its kin return what is left to do as a bit mask. Answers are written straight through the transport's `write`
//! that the connection was made with; `wake` is called with a mask when a settled group left something to do.
use std::sync::Arc;

use footfall_ingest::http::{self, BodyEvent, HttpSettings, PeerAddress, Progress};
use footfall_ingest::spool::GroupId;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::collector_py::{Collector, Waiter, now_ms};

/// The open group got its first hit: call `Collector.commit` in this turn of the loop.
const COMMIT: u32 = 1;
/// `next_request` has a request for the application.
const REQUEST: u32 = 2;
/// `take_body` has something new.
const BODY: u32 = 4;
/// Input is buffered that can go on: call `feed(b"")` after a turn of the loop.
const RESUME: u32 = 8;
/// Do not read the socket until a call returns without this bit.
const PAUSE: u32 = 16;
/// Everything is written: close.
const CLOSE: u32 = 32;

/// The mask's bits by name, for the stub's test.
pub const MASK: [(&str, u32); 6] =
    [("COMMIT", COMMIT), ("REQUEST", REQUEST), ("BODY", BODY), ("RESUME", RESUME), ("PAUSE", PAUSE), ("CLOSE", CLOSE)];

/// See the module.
#[pyclass(module = "rust_ext")]
pub struct Connection {
    http: http::Connection,
    collector: Py<Collector>,
    /// `write` and `wake`; gone once the connection is closed, which also breaks the cycle through the protocol.
    calls: Option<(Py<PyAny>, Py<PyAny>)>,
    /// The group it is on the waiting list of.
    waits_for: GroupId,
    /// Answers on their way out, kept for their space.
    out: Vec<u8>,
    rejection: Option<http::Rejection>,
}

/// A request for the application.
#[pyclass(frozen, get_all, module = "rust_ext")]
pub struct DelegatedRequest {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    remote_ip: String,
    is_https: bool,
    keep_alive: bool,
    expects_continue: bool,
    has_body: bool,
}

fn mask(progress: Progress) -> u32 {
    let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
    bit(progress.has_request, REQUEST)
        | bit(progress.has_body, BODY)
        | bit(progress.wants_resume, RESUME)
        | bit(progress.pause_reading, PAUSE)
        | bit(progress.is_closing, CLOSE)
}

impl Connection {
    pub(crate) fn new(
        collector: Py<Collector>,
        settings: Arc<HttpSettings>,
        peer: PeerAddress,
        write: Py<PyAny>,
        wake: Py<PyAny>,
    ) -> Connection {
        Connection {
            http: http::Connection::new(settings, peer, now_ms()),
            collector,
            calls: Some((write, wake)),
            waits_for: 0,
            out: Vec::new(),
            rejection: None,
        }
    }

    /// Writes what is ready, with nothing borrowed, and returns the mask of what is left to do.
    fn settle(slf: &Bound<'_, Self>, progress: Progress, now_ms: i64) -> PyResult<u32> {
        if !progress.is_ready {
            return Ok(mask(progress));
        }
        let (write, answers, after) = {
            let mut connection = slf.borrow_mut();
            let mut out = std::mem::take(&mut connection.out);
            connection.http.take_ready(now_ms, &mut out);
            let answers = PyBytes::new(slf.py(), &out);
            out.clear();
            connection.out = out;
            let write = connection.calls.as_ref().map(|(write, _)| write.clone_ref(slf.py()));
            (write, answers, connection.http.progress())
        };
        if let Some(write) = write {
            write.call1(slf.py(), (answers,))?;
        }
        Ok(mask(after))
    }

    /// A group was settled.
    pub(crate) fn release(slf: &Bound<'_, Self>, group: GroupId, is_written: bool) -> PyResult<()> {
        let (calls, answers, left) = {
            let mut guard = slf.borrow_mut();
            let connection = &mut *guard;
            let Some((write, wake)) = &connection.calls else { return Ok(()) };
            let calls = (write.clone_ref(slf.py()), wake.clone_ref(slf.py()));
            let mut out = std::mem::take(&mut connection.out);
            let progress = connection.http.release(group, is_written, now_ms(), &mut out);
            let answers = (!out.is_empty()).then(|| PyBytes::new(slf.py(), &out));
            out.clear();
            connection.out = out;
            (calls, answers, mask(progress))
        };
        let (write, wake) = calls;
        if let Some(answers) = answers {
            write.call1(slf.py(), (answers,))?;
        }
        if left != 0 {
            wake.call1(slf.py(), (left,))?;
        }
        Ok(())
    }

    /// Runs one call of the connection that returns a `Progress`, then settles it.
    fn step(slf: &Bound<'_, Self>, call: impl FnOnce(&mut http::Connection, i64) -> Progress) -> PyResult<u32> {
        let now_ms = now_ms();
        let progress = call(&mut slf.borrow_mut().http, now_ms);
        Connection::settle(slf, progress, now_ms)
    }
}

#[pymethods]
impl Connection {
    /// Takes what the socket read, or nothing to resume.
    fn feed(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<u32> {
        let now_ms = now_ms();
        let (progress, is_commit_due) = {
            let mut guard = slf.borrow_mut();
            let connection = &mut *guard;
            if connection.calls.is_none() {
                return Ok(CLOSE);
            }
            let mut collector = connection.collector.bind(slf.py()).borrow_mut();
            let progress = connection.http.feed(data, now_ms, &mut collector.pipeline);
            let mut is_commit_due = false;
            if progress.logged_hits > 0 {
                let group = collector.pipeline.sink_mut().open_group();
                connection.http.mark_group(group);
                if connection.waits_for != group {
                    connection.waits_for = group;
                    is_commit_due = collector.wait_for_open_group(Waiter::Connection(slf.clone().unbind()));
                }
            }
            (progress, is_commit_due)
        };
        let left = Connection::settle(slf, progress, now_ms);
        if left.is_err() && is_commit_due {
            // The caller will not see COMMIT, and the group is not this connection's alone.
            slf.borrow().collector.bind(slf.py()).borrow_mut().commit();
        }
        Ok(if is_commit_due { left? | COMMIT } else { left? })
    }

    /// The peer closed its side.
    fn end_of_input(slf: &Bound<'_, Self>) -> PyResult<u32> {
        Connection::step(slf, http::Connection::end_of_input)
    }

    /// The deadline has passed.
    fn expire(slf: &Bound<'_, Self>) -> PyResult<u32> {
        Connection::step(slf, http::Connection::expire)
    }

    /// The process stops: the answer to the last buffered request says `Connection: close`.
    fn drain(&mut self) {
        self.http.drain();
    }

    /// The application has answered its request.
    fn finish_delegated(slf: &Bound<'_, Self>, keep_alive: bool) -> PyResult<u32> {
        Connection::step(slf, |connection, now_ms| connection.finish_delegated(keep_alive, now_ms))
    }

    /// What there is to do now.
    fn progress(&self) -> u32 {
        mask(self.http.progress())
    }

    /// Milliseconds since the epoch at which to call `expire` unless something happens before; `None` while only we are
    /// awaited.
    fn deadline_ms(&self) -> Option<i64> {
        self.http.deadline_ms()
    }

    /// The request for the application, once.
    fn next_request(&mut self) -> Option<DelegatedRequest> {
        let request = self.http.next_request()?;
        self.rejection = None;
        // Tornado's own reading of header bytes is latin-1.
        let text = |value: Vec<u8>| value.into_iter().map(char::from).collect::<String>();
        Some(DelegatedRequest {
            method: request.method,
            target: request.target,
            version: if request.minor_version == 0 { "HTTP/1.0" } else { "HTTP/1.1" },
            headers: request.headers.into_iter().map(|(name, value)| (name, text(value))).collect(),
            remote_ip: request.client.ip.to_string(),
            is_https: request.is_forwarded_https,
            keep_alive: request.keep_alive,
            expects_continue: request.expects_continue,
            has_body: request.has_body,
        })
    }

    /// The next piece of its body, or why there is none: "pending", "complete", "rejected", "aborted".
    fn take_body<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let word = match self.http.take_body() {
            BodyEvent::Chunk(bytes) => return Ok(PyBytes::new(py, &bytes).into_any()),
            BodyEvent::Pending => "pending",
            BodyEvent::Complete => "complete",
            BodyEvent::Aborted => "aborted",
            BodyEvent::Rejected(rejection) => {
                self.rejection = Some(rejection);
                "rejected"
            }
        };
        Ok(word.into_pyobject(py)?.into_any())
    }

    /// The complete answer to a request whose body was rejected; empty when none was.
    fn rejection_answer<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut out = Vec::new();
        if let Some(rejection) = self.rejection {
            rejection.answer(now_ms(), &mut out);
        }
        PyBytes::new(py, &out)
    }

    /// The socket is gone: nothing is written any more. What was logged stays logged.
    fn close(&mut self) {
        self.calls = None;
    }
}
