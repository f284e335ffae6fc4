//! A connection for Python: its HTTP half, and its socket if `Sockets` accepted it.
//!
//! `Sockets.turn` reads, feeds and writes without Python. What is left to do comes as a bit mask: to `wake` from a turn or a
//! settled group, or as the result of the calls here. A connection without a socket (tests, benchmarks) is fed by its
//! caller and writes through the callable it was made with.
use std::sync::Arc;

use footfall_ingest::http::{self, BodyEvent, HttpSettings, PeerAddress, Progress};
use footfall_ingest::sockets::{Readiness, Received, Socket, Token, Written};
use footfall_ingest::spool::GroupId;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::collector_py::{Collector, Waiter, now_ms};
use crate::sockets_py::Sockets;

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
/// Everything is answered: close.
const CLOSE: u32 = 32;
/// The peer will send no more: call `end_of_input`.
const END: u32 = 64;
/// More answers wait for the peer to read them than may: make no more.
const FULL: u32 = 128;
/// There is room again after FULL.
const DRAINED: u32 = 256;
/// The socket is gone, or all is written of one that was to be closed.
const OVER: u32 = 512;

/// Room for answers that a connection keeps: those of a few dozen hits. A burst must not be remembered for ever.
const KEPT_OUT_BYTES: usize = 8 * 1024;

/// The mask's bits by name, for the stub's test.
pub const MASK: [(&str, u32); 10] = [
    ("COMMIT", COMMIT),
    ("REQUEST", REQUEST),
    ("BODY", BODY),
    ("RESUME", RESUME),
    ("PAUSE", PAUSE),
    ("CLOSE", CLOSE),
    ("END", END),
    ("FULL", FULL),
    ("DRAINED", DRAINED),
    ("OVER", OVER),
];

/// Where answers go.
enum Outlet {
    /// A callable that takes bytes.
    Call(Py<PyAny>),
    /// Its place among the sockets, so that it can leave them.
    Socket { socket: Socket, token: Token, sockets: Py<Sockets> },
    /// Nowhere any more.
    Closed,
}

/// See the module.
#[pyclass(module = "rust_ext")]
pub struct Connection {
    http: http::Connection,
    collector: Py<Collector>,
    outlet: Outlet,
    /// Gone once the connection is closed, which also breaks the cycle through the protocol.
    wake: Option<Py<PyAny>>,
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

fn bit(is_set: bool, bit: u32) -> u32 {
    if is_set { bit } else { 0 }
}

fn mask(progress: Progress) -> u32 {
    bit(progress.has_request, REQUEST)
        | bit(progress.has_body, BODY)
        | bit(progress.wants_resume, RESUME)
        | bit(progress.pause_reading, PAUSE)
        | bit(progress.is_closing, CLOSE)
}

fn mask_of(written: Written) -> u32 {
    bit(written.is_full, FULL) | bit(written.is_drained, DRAINED) | bit(written.is_over, OVER)
}

impl Connection {
    /// One without a socket.
    pub(crate) fn new(
        collector: Py<Collector>,
        settings: Arc<HttpSettings>,
        peer: PeerAddress,
        write: Py<PyAny>,
        wake: Py<PyAny>,
    ) -> Connection {
        Connection::with(collector, settings, peer, Outlet::Call(write), Some(wake))
    }

    /// One that was accepted; its `wake` comes with `set_wake`.
    pub(crate) fn on_socket(
        collector: Py<Collector>,
        settings: Arc<HttpSettings>,
        peer: PeerAddress,
        socket: Socket,
        token: Token,
        sockets: Py<Sockets>,
    ) -> Connection {
        Connection::with(collector, settings, peer, Outlet::Socket { socket, token, sockets }, None)
    }

    fn with(
        collector: Py<Collector>,
        settings: Arc<HttpSettings>,
        peer: PeerAddress,
        outlet: Outlet,
        wake: Option<Py<PyAny>>,
    ) -> Connection {
        Connection {
            http: http::Connection::new(settings, peer, now_ms()),
            collector,
            outlet,
            wake,
            waits_for: 0,
            out: Vec::new(),
            rejection: None,
        }
    }

    pub(crate) fn set_wake(&mut self, wake: Py<PyAny>) {
        self.wake = Some(wake);
    }

    /// Closes the socket, whose place has been given back.
    pub(crate) fn forget_socket(&mut self) {
        self.outlet = Outlet::Closed;
    }

    /// A turn of the loop found the socket ready.
    pub(crate) fn serve(slf: &Bound<'_, Self>, ready: Readiness, buffer: &mut [u8], now_ms: i64) -> PyResult<()> {
        let mut left = 0;
        let mut received = Received::Nothing;
        {
            let mut guard = slf.borrow_mut();
            let Outlet::Socket { socket, .. } = &mut guard.outlet else { return Ok(()) };
            if ready.takes {
                left |= mask_of(socket.flush());
            }
            if ready.gives && socket.is_reading() {
                received = socket.receive(buffer);
            } else if ready.is_over {
                left |= OVER;
            }
        }
        match received {
            Received::Bytes(bytes) => {
                let (mask, _) = Connection::take_in(slf, buffer.get(..bytes).unwrap_or_default(), now_ms)?;
                left |= mask;
            }
            Received::Nothing => {}
            Received::End => left |= END,
            Received::Gone => left |= OVER,
        }
        Connection::wake(slf, left)
    }

    /// Calls `wake` if anything is left to do.
    fn wake(slf: &Bound<'_, Self>, left: u32) -> PyResult<()> {
        if left != 0 {
            let wake = slf.borrow().wake.as_ref().map(|wake| wake.clone_ref(slf.py()));
            if let Some(wake) = wake {
                wake.call1(slf.py(), (left,))?;
            }
        }
        Ok(())
    }

    /// Feeds the HTTP half and writes what may leave at once: what is left to do, and whether a commit is due.
    fn take_in(slf: &Bound<'_, Self>, data: &[u8], now_ms: i64) -> PyResult<(u32, bool)> {
        let mut guard = slf.borrow_mut();
        let connection = &mut *guard;
        let mut is_commit_due = false;
        let progress = {
            let mut collector = connection.collector.bind(slf.py()).borrow_mut();
            let progress = connection.http.feed(data, now_ms, &mut collector.pipeline);
            if progress.logged_hits > 0 {
                let group = collector.pipeline.sink_mut().open_group();
                connection.http.mark_group(group);
                if connection.waits_for != group {
                    connection.waits_for = group;
                    is_commit_due = collector.wait_for_open_group(Waiter::Connection(slf.clone().unbind()));
                }
            }
            progress
        };
        drop(guard);
        let left = Connection::settle(slf, progress, now_ms);
        if left.is_err() && is_commit_due {
            // The caller will not hear of the commit, and the group is not this connection's alone.
            slf.borrow().collector.bind(slf.py()).borrow_mut().commit();
        }
        Ok((left?, is_commit_due))
    }

    /// Writes what is ready and returns the mask of what is left to do.
    fn settle(slf: &Bound<'_, Self>, progress: Progress, now_ms: i64) -> PyResult<u32> {
        if !progress.is_ready {
            return Ok(mask(progress));
        }
        let mut guard = slf.borrow_mut();
        let mut out = std::mem::take(&mut guard.out);
        guard.http.take_ready(now_ms, &mut out);
        let left = mask(guard.http.progress());
        Ok(left | Connection::send_out(slf, guard, out)?)
    }

    /// A group was settled.
    pub(crate) fn release(slf: &Bound<'_, Self>, group: GroupId, is_written: bool, now_ms: i64) -> PyResult<()> {
        let mut guard = slf.borrow_mut();
        if matches!(guard.outlet, Outlet::Closed) {
            return Ok(());
        }
        let mut out = std::mem::take(&mut guard.out);
        let left = mask(guard.http.release(group, is_written, now_ms, &mut out));
        let left = left | Connection::send_out(slf, guard, out)?;
        Connection::wake(slf, left)
    }

    /// Writes answers and keeps their space.
    fn send_out(slf: &Bound<'_, Self>, guard: PyRefMut<'_, Self>, mut out: Vec<u8>) -> PyResult<u32> {
        let written = Connection::send(slf, guard, &out)?;
        out.clear();
        out.shrink_to(KEPT_OUT_BYTES);
        slf.borrow_mut().out = out;
        Ok(written)
    }

    /// Writes to the socket, or by the callable with nothing borrowed.
    fn send(slf: &Bound<'_, Self>, mut guard: PyRefMut<'_, Self>, bytes: &[u8]) -> PyResult<u32> {
        let write = match &mut guard.outlet {
            _ if bytes.is_empty() => return Ok(0),
            Outlet::Socket { socket, .. } => return Ok(mask_of(socket.write(bytes))),
            Outlet::Call(write) => write.clone_ref(slf.py()),
            Outlet::Closed => return Ok(0),
        };
        drop(guard);
        write.call1(slf.py(), (PyBytes::new(slf.py(), bytes),))?;
        Ok(0)
    }

    /// Runs one call of the connection that returns a `Progress`, then settles it.
    fn step(slf: &Bound<'_, Self>, call: impl FnOnce(&mut http::Connection, i64) -> Progress) -> PyResult<u32> {
        let now_ms = now_ms();
        let progress = call(&mut slf.borrow_mut().http, now_ms);
        Connection::settle(slf, progress, now_ms)
    }

    /// One call of the socket, if there is one.
    fn on_its_socket(&mut self, call: impl FnOnce(&mut Socket) -> Written) -> u32 {
        match &mut self.outlet {
            Outlet::Socket { socket, .. } => mask_of(call(socket)),
            Outlet::Call(_) | Outlet::Closed => 0,
        }
    }
}

#[pymethods]
impl Connection {
    /// Takes what was read, or nothing to resume.
    fn feed(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<u32> {
        if matches!(slf.borrow().outlet, Outlet::Closed) {
            return Ok(CLOSE);
        }
        let (left, is_commit_due) = Connection::take_in(slf, data, now_ms())?;
        Ok(if is_commit_due { left | COMMIT } else { left })
    }

    /// Writes a part of the application's answer.
    fn write(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<u32> {
        Connection::send(slf, slf.borrow_mut(), data)
    }

    /// Bytes that wait until the peer has read others.
    fn unread_bytes(&self) -> usize {
        match &self.outlet {
            Outlet::Socket { socket, .. } => socket.backlog_bytes(),
            Outlet::Call(_) | Outlet::Closed => 0,
        }
    }

    /// Reads the socket no more, or again.
    fn read(&mut self, is_reading: bool) -> u32 {
        self.on_its_socket(|socket| Written { is_over: socket.read(is_reading).is_err(), ..Written::default() })
    }

    /// Sends FIN once all is written, and reads on.
    fn end_output(&mut self) -> u32 {
        self.on_its_socket(Socket::end_output)
    }

    /// Reads no more; OVER once all is written, here or to `wake`.
    fn end(&mut self) -> u32 {
        self.on_its_socket(Socket::end)
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

    /// Closes the socket: nothing is written any more. What was logged stays logged.
    fn close(&mut self, py: Python<'_>) {
        self.wake = None;
        if let Outlet::Socket { token, sockets, .. } = std::mem::replace(&mut self.outlet, Outlet::Closed) {
            sockets.borrow_mut(py).set_mut().remove(token);
        }
    }
}
