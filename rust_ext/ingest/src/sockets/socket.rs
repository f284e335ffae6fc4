//! One connection's socket: read once per event, written at once as far as the kernel takes it.
//!
//! What the kernel does not take waits here, and the socket asks to be told when there is room. Past
//! [`HIGH_WATER_BYTES`] the caller is told to stop making more, below [`LOW_WATER_BYTES`] to go on.
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Answers that may wait in user space before their connection is not read any more.
pub const HIGH_WATER_BYTES: usize = 256 * 1024;
/// And those that may still wait when it is read again.
pub const LOW_WATER_BYTES: usize = 64 * 1024;

/// A queue that is empty keeps this much room.
const KEPT_CAPACITY_BYTES: usize = 4 * 1024;

/// What reading found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes at the buffer's start.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer will send no more.
    End,
    /// The connection is gone.
    Gone,
}

/// What writing came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// More waits than may: stop making answers.
    pub is_full: bool,
    /// There is room again after `is_full`.
    pub is_drained: bool,
    /// The connection is gone, or all is written of one that was to be closed.
    pub is_over: bool,
}

/// What happens when all is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    No,
    /// FIN; the peer may go on sending.
    Output,
    Close,
}

/// See the module.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    epoll: Arc<OwnedFd>,
    word: u64,
    backlog: VecDeque<u8>,
    is_reading: bool,
    has_input_ended: bool,
    is_full: bool,
    end: End,
    asks_for: EventFlags,
}

impl Socket {
    /// A socket that does not block, watched for input under `word`.
    pub(super) fn new(descriptor: OwnedFd, epoll: &Arc<OwnedFd>, word: u64) -> io::Result<Socket> {
        epoll::add(epoll, &descriptor, EventData::new_u64(word), EventFlags::IN)?;
        Ok(Socket {
            descriptor,
            epoll: Arc::clone(epoll),
            word,
            backlog: VecDeque::new(),
            is_reading: true,
            has_input_ended: false,
            is_full: false,
            end: End::No,
            asks_for: EventFlags::IN,
        })
    }

    /// Whether it is read.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.is_reading && !self.has_input_ended && self.end != End::Close
    }

    /// Bytes that wait for the kernel.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.backlog.len()
    }

    /// Reads once.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Received {
        match recv(&self.descriptor, buffer, RecvFlags::empty()) {
            Ok((0, _)) => {
                self.has_input_ended = true;
                if self.ask().is_ok() { Received::End } else { Received::Gone }
            }
            Ok((bytes, _)) => Received::Bytes(bytes),
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::Gone,
        }
    }

    /// Reads from now on, or no more; an input that has ended stays so.
    ///
    /// # Errors
    /// When the system refuses the watch.
    pub fn read(&mut self, is_reading: bool) -> io::Result<()> {
        self.is_reading = is_reading;
        self.ask()
    }

    /// Writes after what waits.
    pub fn write(&mut self, bytes: &[u8]) -> Written {
        let mut rest = bytes;
        if self.backlog.is_empty() {
            match self.send(bytes) {
                Ok(sent) => rest = bytes.get(sent..).unwrap_or_default(),
                Err(_) => return GONE,
            }
        }
        if rest.is_empty() {
            return Written::default();
        }
        self.backlog.extend(rest);
        self.settle()
    }

    /// Writes what waits, as far as the kernel takes it.
    pub fn flush(&mut self) -> Written {
        while !self.backlog.is_empty() {
            let (front, _) = self.backlog.as_slices();
            match self.send(front) {
                Ok(0) => break,
                Ok(sent) => drop(self.backlog.drain(..sent)),
                Err(_) => return GONE,
            }
        }
        self.settle()
    }

    /// Sends FIN once all is written; input goes on.
    pub fn end_output(&mut self) -> Written {
        if self.end == End::No {
            self.end = End::Output;
        }
        self.settle()
    }

    /// Takes no more input; [`Written::is_over`] once all is written.
    pub fn end(&mut self) -> Written {
        self.end = End::Close;
        self.settle()
    }

    /// So many bytes as the kernel took; 0 when it has no room.
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match send(&self.descriptor, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// After the backlog has changed.
    fn settle(&mut self) -> Written {
        let mut written = Written::default();
        if self.backlog.is_empty() {
            self.backlog.shrink_to(KEPT_CAPACITY_BYTES);
            match self.end {
                End::No => {}
                // Fails only when the connection is gone, which reading tells.
                End::Output => drop(shutdown(&self.descriptor, Shutdown::Write)),
                End::Close => written.is_over = true,
            }
        }
        if !self.is_full && self.backlog.len() > HIGH_WATER_BYTES {
            self.is_full = true;
            written.is_full = true;
        } else if self.is_full && self.backlog.len() <= LOW_WATER_BYTES {
            self.is_full = false;
            written.is_drained = true;
        }
        written.is_over |= self.ask().is_err();
        written
    }

    /// Tells the epoll what is asked for, if that has changed.
    fn ask(&mut self) -> io::Result<()> {
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, self.is_reading());
        wanted.set(EventFlags::OUT, !self.backlog.is_empty());
        if wanted != self.asks_for {
            epoll::modify(&self.epoll, &self.descriptor, EventData::new_u64(self.word), wanted)?;
            self.asks_for = wanted;
        }
        Ok(())
    }
}

const GONE: Written = Written { is_full: false, is_drained: false, is_over: true };
