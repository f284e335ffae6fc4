//! The public port for Python: the loop watches one descriptor, and one call serves all connections that are ready.
//!
//! `turn` reads each ready socket once, feeds its connection, writes the answers of settled groups, commits what the
//! turn has logged, and calls Python only for what is left to do of a connection (`wake(mask)`) and for new ones.
//! Python code is only ever called while nothing of ours is borrowed, because it may call back.
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use footfall_ingest::http::PeerAddress;
use footfall_ingest::sockets::{Accepted, PAUSE, Pace, Ready, SocketSet};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::collector_py::{Collector, now_ms};
use crate::connection_py::Connection;

/// One read: what uvloop's and nginx's largest reads are, and many requests.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Connections accepted in one turn: those that are open want theirs too.
const ACCEPTS_PER_TURN: usize = 64;

/// A socket of this machine has no address; it is as near as loopback.
const LOCAL_PEER: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0));

/// See the module.
#[pyclass(module = "rust_ext")]
pub struct Sockets {
    set: SocketSet<Py<Connection>>,
    collector: Py<Collector>,
    /// Given each new connection; returns its `wake`, or `None` to drop it.
    accepted: Py<PyAny>,
    buffer: Vec<u8>,
    found: Vec<Ready>,
    pace: Pace,
}

impl Sockets {
    pub(crate) fn new(collector: &Bound<'_, Collector>, accepted: Py<PyAny>) -> PyResult<Sockets> {
        let set = {
            let mut guard = collector.borrow_mut();
            SocketSet::new(guard.pipeline.sink_mut().completion_fd())?
        };
        Ok(Sockets {
            set,
            collector: collector.clone().unbind(),
            accepted,
            buffer: vec![0; READ_BUFFER_BYTES],
            found: Vec::new(),
            pace: Pace::default(),
        })
    }

    /// The set, for a connection that ends.
    pub(crate) fn set_mut(&mut self) -> &mut SocketSet<Py<Connection>> {
        &mut self.set
    }

    /// Accepts at most so many. True when there is a shortage of descriptors.
    fn accept_some(slf: &Bound<'_, Self>, most: usize) -> PyResult<bool> {
        for _ in 0..most {
            let accepted = slf.borrow_mut().set.accept()?;
            match accepted {
                Accepted::Connection(socket, peer) => Sockets::take(slf, socket, peer.unwrap_or(LOCAL_PEER))?,
                Accepted::Nobody => return Ok(false),
                Accepted::Shortage => return Ok(true),
            }
        }
        Ok(false)
    }

    fn take(slf: &Bound<'_, Self>, socket: OwnedFd, peer: SocketAddr) -> PyResult<()> {
        let py = slf.py();
        let peer = PeerAddress { ip: peer.ip().to_canonical(), port: peer.port() };
        let (token, connection, accepted) = {
            let mut guard = slf.borrow_mut();
            let sockets = &mut *guard;
            let token = sockets.set.reserve();
            // Refused only when the system is out of memory or watches: this connection ends, the others go on.
            let Ok(socket) = sockets.set.watch(token, socket) else { return Ok(()) };
            let http = sockets.collector.borrow(py).http.clone();
            let collector = sockets.collector.clone_ref(py);
            let connection = Connection::on_socket(collector, http, peer, socket, token, slf.clone().unbind());
            let connection = Py::new(py, connection)?;
            sockets.set.own(token, connection.clone_ref(py));
            (token, connection, sockets.accepted.clone_ref(py))
        };
        let wake = accepted.call1(py, (connection.clone_ref(py),));
        match wake {
            Ok(wake) if !wake.is_none(py) => connection.borrow_mut(py).set_wake(wake),
            other => {
                slf.borrow_mut().set.remove(token);
                connection.borrow_mut(py).forget_socket();
                other?;
            }
        }
        Ok(())
    }

    /// What this turn serves. Under load it waits a moment for more.
    fn ready(slf: &Bound<'_, Self>) -> PyResult<Vec<Ready>> {
        let (mut found, waits) = {
            let mut guard = slf.borrow_mut();
            let sockets = &mut *guard;
            let mut found = std::mem::take(&mut sockets.found);
            sockets.set.ready(&mut found)?;
            // Answers that may leave do not wait.
            let waits = found.first() != Some(&Ready::Completions) && sockets.pace.waits(found.len());
            (found, waits)
        };
        if waits {
            slf.py().detach(|| std::thread::sleep(PAUSE));
            let mut sockets = slf.borrow_mut();
            found.clear();
            sockets.set.ready(&mut found)?;
            sockets.pace.gathered(found.len());
        }
        Ok(found)
    }

    fn serve(slf: &Bound<'_, Self>, ready: Ready, buffer: &mut [u8], now_ms: i64) -> PyResult<bool> {
        let py = slf.py();
        match ready {
            Ready::Completions => {
                let collector = slf.borrow().collector.clone_ref(py);
                Collector::complete(collector.bind(py))?;
            }
            Ready::Listener => return Sockets::accept_some(slf, ACCEPTS_PER_TURN),
            Ready::Connection(token, readiness) => {
                let owner = slf.borrow().set.owner(token).map(|connection| connection.clone_ref(py));
                if let Some(connection) = owner {
                    Connection::serve(connection.bind(py), readiness, buffer, now_ms)?;
                }
            }
        }
        Ok(false)
    }
}

#[pymethods]
impl Sockets {
    /// Readable while `turn` has something to do.
    #[getter]
    fn fd(&self) -> i32 {
        self.set.descriptor().as_raw_fd()
    }

    /// Accepts from this listening socket, which stays the caller's.
    fn listen(&mut self, listener_fd: RawFd) -> PyResult<()> {
        Ok(self.set.listen(duplicate(listener_fd)?)?)
    }

    /// Accepts again after `turn` told of a shortage.
    fn resume_listening(&mut self) -> PyResult<()> {
        Ok(self.set.resume_listening()?)
    }

    /// Accepts whoever waits in the listener's queue now, and no more after them.
    fn finish_listening(slf: &Bound<'_, Self>) -> PyResult<()> {
        let is_short = Sockets::accept_some(slf, usize::MAX);
        slf.borrow_mut().set.stop_listening();
        is_short.map(drop)
    }

    /// Serves what is ready. True when there is a shortage of descriptors: call `resume_listening` later. What a callback
    /// raises goes to `sys.unraisablehook`: it costs the others nothing.
    fn turn(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let mut found = Sockets::ready(slf)?;
        let (mut buffer, collector) = {
            let mut sockets = slf.borrow_mut();
            (std::mem::take(&mut sockets.buffer), sockets.collector.clone_ref(py))
        };
        let now_ms = now_ms();
        let mut is_short = false;
        for ready in found.drain(..) {
            match Sockets::serve(slf, ready, &mut buffer, now_ms) {
                Ok(short) => is_short |= short,
                Err(error) => error.write_unraisable(py, Some(slf.as_any())),
            }
        }
        collector.borrow_mut(py).commit();
        let mut sockets = slf.borrow_mut();
        (sockets.found, sockets.buffer) = (found, buffer);
        Ok(is_short)
    }
}

/// A descriptor of our own for the same socket.
fn duplicate(fd: RawFd) -> PyResult<OwnedFd> {
    if fd < 0 {
        return Err(PyOSError::new_err("not a descriptor"));
    }
    // SAFETY: the number comes from the caller's open socket object, is not negative, and is borrowed for this call
    // only; a number that is not open makes dup(2) fail with EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(borrowed.try_clone_to_owned()?)
}
