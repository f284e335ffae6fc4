//! The public port's sockets, all behind one epoll: one wake-up of the caller's loop serves whatever is ready.
//!
//! ```text
//! the caller's loop ── the epoll's descriptor is readable ──▶ SocketSet::ready(events)
//!                                                               ├─ a completion   answers may leave
//!                                                               ├─ the listener   SocketSet::accept()
//!                                                               └─ a connection   Socket::receive, Socket::flush
//! ```
//!
//! An epoll's descriptor can be watched like any other (epoll(7), "nested"), so any event loop can be the caller. Events
//! are level-triggered: what one turn leaves, the next one sees.
//!
//! This module knows descriptors and bytes, neither HTTP nor what owns a connection.
mod pace;
mod socket;

pub use pace::{PAUSE, Pace};
pub use socket::{Received, Socket, Written};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with, sockopt};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What one turn looks at; the rest is ready still in the next one.
const EVENTS_PER_TURN: usize = 512;

/// Names the listener among the events.
const LISTENER: u64 = u64::MAX;
/// Names the descriptor that says that groups are settled.
const COMPLETIONS: u64 = u64::MAX - 1;

/// Names a connection: its slot, and which of the slot's connections it is, so that an event that was read before its
/// connection ended cannot reach the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    slot: u32,
    generation: u32,
}

impl Token {
    fn word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    fn of(word: u64) -> Token {
        let [slot, generation] = [word & u64::from(u32::MAX), word >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        Token { slot, generation }
    }
}

/// What is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Groups are settled.
    Completions,
    /// Connections wait to be accepted.
    Listener,
    /// A connection's socket.
    Connection(Token, Readiness),
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The kernel takes bytes again.
    pub takes: bool,
    /// There is something to read: bytes, an end or an error.
    pub gives: bool,
    /// Nothing will ever come or go any more.
    pub is_over: bool,
}

/// What accepting found.
#[derive(Debug)]
pub enum Accepted {
    /// A connection, not blocking, and its peer; `None` when it has no IP address (a socket of this machine).
    Connection(OwnedFd, Option<SocketAddr>),
    /// Nobody waits.
    Nobody,
    /// Out of descriptors or memory: the listener is not watched until [`SocketSet::resume_listening`].
    Shortage,
}

struct Slot<Owner> {
    generation: u32,
    owner: Option<Owner>,
}

/// See the module. `Owner` is what the caller finds again by a socket's event.
pub struct SocketSet<Owner> {
    epoll: Arc<OwnedFd>,
    listener: Option<OwnedFd>,
    slots: Vec<Slot<Owner>>,
    free: Vec<u32>,
}

impl<Owner> SocketSet<Owner> {
    /// An empty set, which tells of `completions` too.
    ///
    /// # Errors
    /// When the system refuses an epoll.
    pub fn new(completions: impl AsFd) -> io::Result<SocketSet<Owner>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, completions, EventData::new_u64(COMPLETIONS), EventFlags::IN)?;
        Ok(SocketSet { epoll: Arc::new(epoll), listener: None, slots: Vec::new(), free: Vec::new() })
    }

    /// Readable while [`SocketSet::ready`] has something to tell.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Writes down what is ready now, at most one turn's worth, completions first; does not wait.
    ///
    /// # Errors
    /// Those of epoll_wait(2), but for an interruption.
    pub fn ready(&mut self, found: &mut Vec<Ready>) -> io::Result<()> {
        let mut room = [MaybeUninit::<Event>::uninit(); EVENTS_PER_TURN];
        let (events, _) = match epoll::wait(&self.epoll, &mut room, Some(&NO_WAIT)) {
            Ok(events) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let before = found.len();
        found.extend(events.iter().map(|event| {
            let (flags, word) = (event.flags, event.data.u64());
            match word {
                LISTENER => Ready::Listener,
                COMPLETIONS => Ready::Completions,
                _ => Ready::Connection(Token::of(word), Readiness::of(flags)),
            }
        }));
        // First what is settled: answers are the oldest work, and the room that they held is free for new hits.
        let new = found.get_mut(before..).unwrap_or_default();
        if let Some(completions) = new.iter().position(|ready| *ready == Ready::Completions) {
            new.swap(0, completions);
        }
        Ok(())
    }

    /// Accepts from this listening socket from now on.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn listen(&mut self, listener: OwnedFd) -> io::Result<()> {
        self.listener = Some(listener);
        self.resume_listening()
    }

    /// Watches the listener again after a shortage.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn resume_listening(&mut self) -> io::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        match epoll::add(&self.epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Accepts no more.
    pub fn stop_listening(&mut self) {
        if let Some(listener) = self.listener.take() {
            // It may be another process's too, so closing ours would not end the watch.
            let _ = epoll::delete(&self.epoll, &listener);
        }
    }

    /// Accepts one connection.
    ///
    /// # Errors
    /// Those of accept(2) that are neither the peer's nor a shortage's: the listener cannot be used.
    pub fn accept(&mut self) -> io::Result<Accepted> {
        let Some(listener) = &self.listener else { return Ok(Accepted::Nobody) };
        loop {
            match acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, address)) => {
                    let peer = address.and_then(|address| SocketAddr::try_from(address).ok());
                    if peer.is_some() {
                        // An answer is written once and whole. A peer that is gone already shows when it is read.
                        let _ = sockopt::set_tcp_nodelay(&socket, true);
                    }
                    return Ok(Accepted::Connection(socket, peer));
                }
                Err(Errno::AGAIN) => return Ok(Accepted::Nobody),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    epoll::delete(&self.epoll, listener)?;
                    return Ok(Accepted::Shortage);
                }
                // accept(2): errors of the network that was to be accepted from; treat them like nobody, try the next.
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PERM
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::NOPROTOOPT
                    | Errno::HOSTDOWN
                    | Errno::NONET
                    | Errno::HOSTUNREACH
                    | Errno::OPNOTSUPP
                    | Errno::NETUNREACH,
                ) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A slot for a connection to come.
    pub fn reserve(&mut self) -> Token {
        if let Some(slot) = self.free.pop()
            && let Some(Slot { generation, .. }) = usize::try_from(slot).ok().and_then(|slot| self.slots.get(slot))
        {
            return Token { slot, generation: *generation };
        }
        // Descriptors end long before slots do.
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, owner: None });
        Token { slot, generation: 0 }
    }

    /// Watches a socket under its reserved slot.
    ///
    /// # Errors
    /// When it cannot be watched; the slot is free again then.
    pub fn watch(&mut self, token: Token, socket: OwnedFd) -> io::Result<Socket> {
        let watched = Socket::new(socket, &self.epoll, token.word());
        if watched.is_err() {
            self.remove(token);
        }
        watched
    }

    /// Says whose socket it is.
    pub fn own(&mut self, token: Token, owner: Owner) {
        if let Some(slot) = self.slot(token) {
            slot.owner = Some(owner);
        }
    }

    /// Whose socket it is, if it is still here.
    #[must_use]
    pub fn owner(&self, token: Token) -> Option<&Owner> {
        let slot = self.slots.get(usize::try_from(token.slot).ok()?)?;
        slot.owner.as_ref().filter(|_| slot.generation == token.generation)
    }

    /// Gives the slot back. The socket leaves the epoll when it is closed.
    pub fn remove(&mut self, token: Token) -> Option<Owner> {
        let slot = self.slot(token)?;
        slot.generation = slot.generation.wrapping_add(1);
        let owner = slot.owner.take();
        self.free.push(token.slot);
        owner
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot<Owner>> {
        let slot = self.slots.get_mut(usize::try_from(token.slot).ok()?)?;
        (slot.generation == token.generation).then_some(slot)
    }
}

const NO_WAIT: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };

impl Readiness {
    fn of(flags: EventFlags) -> Readiness {
        let is_over = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Readiness {
            takes: flags.contains(EventFlags::OUT),
            gives: is_over || flags.intersects(EventFlags::IN | EventFlags::RDHUP),
            is_over,
        }
    }
}

#[cfg(test)]
mod tests;
