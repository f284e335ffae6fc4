#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::socket::{HIGH_WATER_BYTES, LOW_WATER_BYTES};
use super::*;
use rustix::event::{EventfdFlags, eventfd};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

struct Port {
    set: SocketSet<&'static str>,
    completions: OwnedFd,
    address: SocketAddr,
    /// The other process's copy of the listening socket.
    kept: TcpListener,
}

fn port() -> Port {
    let kept = TcpListener::bind("127.0.0.1:0").unwrap();
    kept.set_nonblocking(true).unwrap();
    let completions = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let mut set = SocketSet::new(&completions).unwrap();
    set.listen(kept.try_clone().unwrap().into()).unwrap();
    Port { set, completions, address: kept.local_addr().unwrap(), kept }
}

impl Port {
    /// What is ready once something is; loopback takes a moment.
    fn ready(&mut self) -> Vec<Ready> {
        for _ in 0..10_000 {
            let found = self.ready_now();
            if !found.is_empty() {
                return found;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("nothing became ready");
    }

    fn ready_now(&mut self) -> Vec<Ready> {
        let mut found = Vec::new();
        self.set.ready(&mut found).unwrap();
        found
    }

    /// A connection, both ends of it.
    fn connect(&mut self, owner: &'static str) -> (TcpStream, Token, Socket) {
        let client = TcpStream::connect(self.address).unwrap();
        assert_eq!(self.ready(), [Ready::Listener]);
        let Accepted::Connection(socket, peer) = self.set.accept().unwrap() else { panic!("nobody waits") };
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        let token = self.set.reserve();
        let socket = self.set.watch(token, socket).unwrap();
        self.set.own(token, owner);
        (client, token, socket)
    }

    fn expect(&mut self, token: Token) -> Readiness {
        let found = self.ready();
        let [Ready::Connection(seen, readiness)] = found[..] else { panic!("{found:?}") };
        assert_eq!(seen, token);
        readiness
    }
}

#[test]
fn what_is_sent_is_received_and_what_is_written_arrives() {
    let mut port = port();
    let (mut client, token, mut socket) = port.connect("first");
    assert!(port.ready_now().is_empty(), "nothing was sent");
    client.write_all(b"hello").unwrap();
    assert_eq!(port.expect(token), Readiness { takes: false, gives: true, is_over: false });
    assert_eq!(port.set.owner(token), Some(&"first"));
    let mut buffer = [0; 64];
    assert_eq!(socket.receive(&mut buffer), Received::Bytes(5));
    assert_eq!(socket.receive(&mut buffer), Received::Nothing);
    assert_eq!(socket.write(b"answer"), Written::default());
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
}

#[test]
fn a_socket_that_is_not_read_is_not_told_of() {
    let mut port = port();
    let (mut client, token, mut socket) = port.connect("");
    socket.read(false).unwrap();
    client.write_all(b"later").unwrap();
    assert!(port.ready_now().is_empty());
    socket.read(true).unwrap();
    assert!(port.expect(token).gives);
}

#[test]
fn a_half_closed_peer_ends_the_input_once_and_still_reads() {
    let mut port = port();
    let (mut client, token, mut socket) = port.connect("");
    client.shutdown(Shutdown::Write).unwrap();
    assert!(port.expect(token).gives);
    assert_eq!(socket.receive(&mut [0; 8]), Received::End);
    assert!(!socket.is_reading());
    socket.read(true).unwrap();
    assert!(!socket.is_reading(), "an ended input stays ended");
    assert!(port.ready_now().is_empty(), "an end is told once");
    socket.write(b"last");
    assert!(socket.end().is_over);
    drop(socket);
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "last");
}

#[test]
fn fin_leaves_after_what_waits_and_input_goes_on() {
    let mut port = port();
    let (mut client, token, mut socket) = port.connect("");
    let sent = fill(&mut socket);
    assert_eq!(socket.end_output(), Written::default());
    let reader = std::thread::spawn({
        let mut client = client.try_clone().unwrap();
        move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all.len()
        }
    });
    while socket.backlog_bytes() > 0 {
        assert!(port.expect(token).takes);
        assert!(!socket.flush().is_over);
    }
    assert_eq!(reader.join().unwrap(), sent);
    client.write_all(b"still here").unwrap();
    assert!(port.expect(token).gives);
    assert_eq!(socket.receive(&mut [0; 64]), Received::Bytes(10));
}

/// Writes more than the kernel takes, past the high water; how much.
fn fill(socket: &mut Socket) -> usize {
    let piece = [7; 64 * 1024];
    let mut sent = 0;
    loop {
        sent += piece.len();
        let written = socket.write(&piece);
        assert!(!written.is_over && !written.is_drained);
        assert_eq!(written.is_full, socket.backlog_bytes() > HIGH_WATER_BYTES);
        if written.is_full {
            return sent;
        }
    }
}

#[test]
fn a_slow_reader_is_full_then_drained_each_told_once() {
    let mut port = port();
    let (mut client, token, mut socket) = port.connect("");
    fill(&mut socket);
    assert_eq!(socket.write(b"more"), Written::default(), "told already");
    let mut buffer = vec![0; 256 * 1024];
    let mut drained = 0;
    while socket.backlog_bytes() > 0 {
        client.read_exact(&mut buffer[..1]).unwrap();
        let _ = client.read(&mut buffer).unwrap();
        if port.ready_now() == [Ready::Connection(token, Readiness { takes: true, gives: false, is_over: false })] {
            let written = socket.flush();
            if written.is_drained {
                assert!(socket.backlog_bytes() <= LOW_WATER_BYTES);
                drained += 1;
            }
        }
    }
    assert_eq!(drained, 1);
    let mut rest = vec![0; 64];
    client.set_nonblocking(true).unwrap();
    while client.read(&mut rest).is_ok_and(|bytes| bytes > 0) {}
    assert!(port.ready_now().is_empty(), "room is asked for only while something waits");
}

#[test]
fn closing_waits_for_what_waits_and_takes_no_more_input() {
    let mut port = port();
    let (mut client, token, mut socket) = port.connect("");
    fill(&mut socket);
    assert!(!socket.end().is_over);
    client.write_all(b"ignored").unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let _ = client.read(&mut buffer).unwrap();
        let found = port.ready_now();
        if found.is_empty() {
            continue;
        }
        assert_eq!(found, [Ready::Connection(token, Readiness { takes: true, gives: false, is_over: false })]);
        if socket.flush().is_over {
            break;
        }
    }
    assert_eq!(socket.backlog_bytes(), 0);
}

#[test]
fn a_reset_is_over_whether_it_is_read_or_not() {
    let mut port = port();
    let (client, token, mut socket) = port.connect("");
    socket.write(b"unread");
    socket.read(false).unwrap();
    while rustix::io::ioctl_fionread(&client).unwrap() == 0 {}
    drop(client); // with unread input: a reset
    let readiness = port.expect(token);
    assert!(readiness.is_over && readiness.gives);
    assert_eq!(socket.receive(&mut [0; 8]), Received::Gone);
    assert!(socket.write(b"x").is_over);
}

#[test]
fn an_old_event_does_not_reach_the_slot_s_next_connection() {
    let mut port = port();
    let (mut client, first, socket) = port.connect("first");
    client.write_all(b"x").unwrap();
    port.expect(first);
    assert_eq!(port.set.remove(first), Some("first"));
    assert_eq!(port.set.remove(first), None);
    drop(socket);
    let (_client, second, _socket) = port.connect("second");
    assert_eq!(second.slot, first.slot);
    assert_eq!(port.set.owner(first), None);
    assert_eq!(port.set.owner(second), Some(&"second"));
    assert_eq!(Token::of(second.word()), second);
}

#[test]
fn completions_are_told_until_they_are_taken() {
    let mut port = port();
    rustix::io::write(&port.completions, &1_u64.to_ne_bytes()).unwrap();
    assert_eq!(port.ready(), [Ready::Completions]);
    assert_eq!(port.ready(), [Ready::Completions]);
    rustix::io::read(&port.completions, &mut [0; 8]).unwrap();
    assert!(port.ready_now().is_empty());
}

#[test]
fn nobody_is_accepted_when_nobody_waits_or_no_more() {
    let mut port = port();
    assert!(matches!(port.set.accept().unwrap(), Accepted::Nobody));
    port.set.stop_listening();
    let _client = TcpStream::connect(port.address).unwrap();
    assert!(port.ready_now().is_empty(), "the other process's listener has it");
    assert!(matches!(port.set.accept().unwrap(), Accepted::Nobody));
    port.set.resume_listening().unwrap();
    assert!(port.ready_now().is_empty());
    port.set.listen(port.kept.try_clone().unwrap().into()).unwrap();
    assert_eq!(port.ready(), [Ready::Listener]);
    assert!(matches!(port.set.accept().unwrap(), Accepted::Connection(..)));
}

#[test]
fn many_connections_are_ready_in_turns() {
    let mut port = port();
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(port.connect("one of many"));
    }
    for (client, ..) in &mut open {
        client.write_all(b"x").unwrap();
    }
    let mut seen = std::collections::HashSet::new();
    while seen.len() < open.len() {
        for ready in port.ready() {
            let Ready::Connection(token, _) = ready else { panic!("{ready:?}") };
            let (.., socket) = open.iter_mut().find(|(_, own, _)| *own == token).unwrap();
            assert_eq!(socket.receive(&mut [0; 8]), Received::Bytes(1));
            assert!(seen.insert(token.word()));
        }
    }
}
