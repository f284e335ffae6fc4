//! One connection: plain or TLS, never blocking. It carries one hit at a time, as a browser's does.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::answer::{Answer, parse};

const READ_BYTES: usize = 16 * 1024;

/// A hit under way.
#[derive(Clone, Copy)]
pub struct Hit {
    /// Its number within this run.
    pub number: u64,
    /// When it was due, in ns since the start.
    pub due_ns: u64,
    /// When it was given to a connection.
    pub begun_ns: u64,
    /// Something of it was written: from now on it may be stored.
    pub is_sent: bool,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no socket.
    Closed,
    /// TCP's handshake, then TLS's.
    Opening,
    /// Nothing: it can carry a hit.
    Idle,
    /// An answer.
    Busy,
    /// The server's end of a connection that it said it closes.
    Ending,
    /// The moment to try again: nobody listened.
    Refused,
}

/// What became of a look at a connection.
pub enum Progress {
    /// Nothing yet.
    Waiting,
    /// It is open and carries nothing.
    Opened,
    /// An answer came.
    Answered(Answer),
    /// It is closed.
    Ended,
}

/// Bytes on the wire, both ways.
#[derive(Clone, Copy, Default)]
pub struct Wire {
    /// What was read.
    pub received: u64,
    /// What was written.
    pub sent: u64,
}

/// See the module.
pub struct Connection {
    /// What it waits for.
    pub state: State,
    /// The hit that it carries or is to carry.
    pub hit: Option<Hit>,
    /// When it may try to connect again, or is closed from here.
    pub retry_ns: u64,
    /// It ends with its first answer.
    is_short: bool,
    stream: Option<TcpStream>,
    tls: Option<Box<ClientConnection>>,
    out: Vec<u8>,
    out_at: usize,
    input: Vec<u8>,
}

impl Connection {
    /// Without a socket.
    pub fn new(is_short: bool) -> Self {
        Self {
            is_short,
            state: State::Closed,
            hit: None,
            retry_ns: 0,
            stream: None,
            tls: None,
            out: Vec::new(),
            out_at: 0,
            input: Vec::with_capacity(READ_BYTES),
        }
    }

    /// The socket, to be watched.
    pub fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    /// Where the next request is put before `flush`.
    pub fn request(&mut self) -> &mut Vec<u8> {
        self.out_at = 0;
        &mut self.out
    }

    /// Begin to connect to a port of 127.0.0.1.
    pub fn open(&mut self, port: u16, tls: Option<&Arc<ClientConfig>>) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.stream = Some(TcpStream::from(socket));
        self.tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
                Some(Box::new(ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?))
            }
        };
        self.input.clear();
        self.state = State::Opening;
        Ok(())
    }

    /// Drop the socket.
    pub fn close(&mut self) {
        self.stream = None;
        self.tls = None;
        self.state = State::Closed;
    }

    /// Write as much of the request as goes. Returns whether all went.
    pub fn flush(&mut self, wire: &mut Wire) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
        let mut counted = Counted { stream, wire };
        if let Some(tls) = &mut self.tls {
            let rest = self.out.get(self.out_at..).unwrap_or_default();
            tls.writer().write_all(rest)?;
            self.out_at = self.out.len();
            if let Some(hit) = &mut self.hit {
                hit.is_sent = true;
            }
            return flush_tls(tls, &mut counted);
        }
        while let Some(rest) = self.out.get(self.out_at..).filter(|rest| !rest.is_empty()) {
            match counted.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.out_at += written;
                    if let Some(hit) = &mut self.hit {
                        hit.is_sent = true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The socket can be read or written, or failed.
    pub fn look(&mut self, wire: &mut Wire, scratch: &mut [u8]) -> io::Result<Progress> {
        if self.state == State::Opening && !self.is_open(wire)? {
            return Ok(Progress::Waiting);
        }
        if self.state == State::Opening {
            self.state = State::Idle;
            return Ok(Progress::Opened);
        }
        let is_ended = self.read(wire, scratch)?;
        if self.state == State::Busy
            && let Some(answer) = parse(&self.input)
        {
            // One hit at a time: nothing can follow its answer.
            self.input.clear();
            // The end may have come with the answer, and then the socket tells of it no second time.
            let is_ended = is_ended || (answer.closes || self.is_short) && self.read(wire, scratch)?;
            self.state = if is_ended {
                self.close();
                State::Closed
            } else if answer.closes || self.is_short {
                State::Ending
            } else {
                State::Idle
            };
            return Ok(Progress::Answered(answer));
        }
        if is_ended {
            self.close();
            return Ok(Progress::Ended);
        }
        if self.state == State::Busy && self.out_at < self.out.len() {
            self.flush(wire)?;
        }
        Ok(Progress::Waiting)
    }

    /// Whether the handshakes are over. An error is the one of connecting.
    fn is_open(&mut self, wire: &mut Wire) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        let Some(tls) = &mut self.tls else { return Ok(true) };
        let mut counted = Counted { stream, wire };
        // Until there is nothing more: the socket is watched for edges.
        while tls.is_handshaking() {
            flush_tls(tls, &mut counted)?;
            match tls.read_tls(&mut counted) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        flush_tls(tls, &mut counted)?;
        Ok(!tls.is_handshaking())
    }

    /// Read what is there. Returns whether the other side has ended.
    fn read(&mut self, wire: &mut Wire, scratch: &mut [u8]) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
        let mut counted = Counted { stream, wire };
        let Some(tls) = &mut self.tls else {
            return match counted.read(scratch) {
                Ok(0) => Ok(true),
                Ok(count) => {
                    self.input.extend_from_slice(scratch.get(..count).unwrap_or_default());
                    Ok(false)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            };
        };
        loop {
            match tls.read_tls(&mut counted) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let count = tls.reader().read(scratch)?;
                self.input.extend_from_slice(scratch.get(..count).unwrap_or_default());
                left = left.saturating_sub(count.max(1));
            }
            if state.peer_has_closed() {
                return Ok(true);
            }
        }
    }
}

/// Write what TLS has to say. Returns whether all went.
fn flush_tls(tls: &mut ClientConnection, counted: &mut Counted<'_>) -> io::Result<bool> {
    while tls.wants_write() {
        match tls.write_tls(counted) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A stream whose bytes are counted.
struct Counted<'a> {
    stream: &'a mut TcpStream,
    wire: &'a mut Wire,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        self.wire.received += count as u64;
        Ok(count)
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(from)?;
        self.wire.sent += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
