//! The PROXY protocol's two headers, which a load balancer sends once before the connection's first request.
//!
//! **v1**, text, at most 107 bytes with its CRLF: `PROXY TCP4|TCP6 <source> <destination> <port> <port>\r\n`, or
//! `PROXY UNKNOWN …\r\n`.
//!
//! **v2**, binary, big-endian:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 12 | signature `\r\n\r\n\0\r\nQUIT\n` |
//! | 12 | 1 | high nibble: version 2; low nibble: 0 LOCAL, 1 PROXY |
//! | 13 | 1 | high nibble: 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix; low nibble: transport |
//! | 14 | 2 | bytes that follow: addresses, then TLVs |
//! | 16 | 4 or 16 | source address |
//! | … | 4 or 16 | destination address, two u16 ports, TLVs: not used |
//!
//! LOCAL, unspecified, Unix and UNKNOWN carry no client: the peer's own address stands.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;
/// The specification's worst case for v1, CRLF included.
const V1_MAX_BYTES: usize = 107;

/// A parse step's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyHeader {
    /// Not all of it is here yet.
    Partial,
    /// The header took `bytes`; `source` is the client, `None` when the header names none.
    Complete { source: Option<IpAddr>, bytes: usize },
    /// Neither form, or over the limit: the connection cannot be used.
    Malformed,
}

/// Parses the start of a connection.
pub(super) fn parse(input: &[u8], max_bytes: usize) -> ProxyHeader {
    if is_prefix_match(input, V2_SIGNATURE) { parse_v2(input, max_bytes) } else { parse_v1(input) }
}

fn is_prefix_match(input: &[u8], pattern: &[u8]) -> bool {
    input.iter().zip(pattern).all(|(left, right)| left == right)
}

fn parse_v2(input: &[u8], max_bytes: usize) -> ProxyHeader {
    let (Some(version_command), Some(family), Some(length)) =
        (input.get(12), input.get(13), input.get(14..V2_FIXED_BYTES).and_then(|bytes| bytes.try_into().ok()))
    else {
        return ProxyHeader::Partial;
    };
    let bytes = V2_FIXED_BYTES + usize::from(u16::from_be_bytes(length));
    let is_local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return ProxyHeader::Malformed,
    };
    if bytes > max_bytes {
        return ProxyHeader::Malformed;
    }
    let Some(addresses) = input.get(V2_FIXED_BYTES..bytes) else { return ProxyHeader::Partial };
    let source = match (is_local, family >> 4) {
        (true, _) | (false, 0 | 3) => None,
        (false, 1) => match (addresses.len() >= 12, addresses.first_chunk::<4>()) {
            (true, Some(octets)) => Some(IpAddr::V4(Ipv4Addr::from(*octets))),
            _ => return ProxyHeader::Malformed,
        },
        (false, 2) => match (addresses.len() >= 36, addresses.first_chunk::<16>()) {
            (true, Some(octets)) => Some(IpAddr::V6(Ipv6Addr::from(*octets)).to_canonical()),
            _ => return ProxyHeader::Malformed,
        },
        _ => return ProxyHeader::Malformed,
    };
    ProxyHeader::Complete { source, bytes }
}

fn parse_v1(input: &[u8]) -> ProxyHeader {
    if !is_prefix_match(input, b"PROXY ") {
        return ProxyHeader::Malformed;
    }
    let window = input.get(..V1_MAX_BYTES).unwrap_or(input);
    let Some(line_feed) = memchr::memchr(b'\n', window) else {
        return if input.len() < V1_MAX_BYTES { ProxyHeader::Partial } else { ProxyHeader::Malformed };
    };
    let line = window.get(..line_feed).and_then(|line| line.strip_suffix(b"\r"));
    match line.and_then(|line| std::str::from_utf8(line).ok()).and_then(parse_v1_line) {
        Some(source) => ProxyHeader::Complete { source, bytes: line_feed + 1 },
        None => ProxyHeader::Malformed,
    }
}

/// The source of a v1 line: `None` when the line is wrong, `Some(None)` when it names no client.
#[allow(clippy::option_option, reason = "the two absences mean different things, and nobody else sees them")]
fn parse_v1_line(line: &str) -> Option<Option<IpAddr>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse::<IpAddr>().ok()?);
    let is_v4 = match family {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let ports_are_numbers =
        words.by_ref().take(2).filter(|port| !port.starts_with('+') && port.parse::<u16>().is_ok()).count() == 2;
    let is_valid =
        ports_are_numbers && words.next().is_none() && source.is_ipv4() == is_v4 && destination.is_ipv4() == is_v4;
    is_valid.then_some(Some(source.to_canonical()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn complete(source: Option<&str>, bytes: usize) -> ProxyHeader {
        ProxyHeader::Complete { source: source.map(|text| text.parse().unwrap()), bytes }
    }

    fn v2(version_command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[version_command, family], &length, addresses].concat()
    }

    #[test]
    fn version_1() {
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
        assert_eq!(parse(&[header, &b"GET"[..]].concat(), 4096), complete(Some("192.0.2.1"), header.len()));
        let header = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        assert_eq!(parse(header, 4096), complete(Some("2001:db8::1"), header.len()));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n", 4096), complete(None, 15));
        assert_eq!(parse(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", 4096), complete(None, 35));
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 5\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 70000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
            b"PROXY  TCP4 192.0.2.1 198.51.100.1 1 443\r\n",
            &[&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
        ] {
            assert_eq!(parse(bad, 4096), ProxyHeader::Malformed, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn version_2() {
        let v4 = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2]);
        assert_eq!(parse(&v4, 4096), complete(Some("192.0.2.1"), 28));
        let with_tlv = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2, 3, 0, 1, 7]);
        assert_eq!(parse(&with_tlv, 4096), complete(Some("192.0.2.1"), 32));
        assert_eq!(parse(&with_tlv, 31), ProxyHeader::Malformed);
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        assert_eq!(parse(&v2(0x21, 0x21, &v6), 4096), complete(Some("2001:db8::"), 52));
        assert_eq!(parse(&v2(0x20, 0, &[]), 4096), complete(None, 16));
        assert_eq!(parse(&v2(0x21, 0, &[]), 4096), complete(None, 16));
        assert_eq!(parse(&v2(0x21, 0x31, &[0; 216]), 4096), complete(None, 232));
        assert_eq!(parse(&v2(0x31, 0x11, &[0; 12]), 4096), ProxyHeader::Malformed);
        assert_eq!(parse(&v2(0x22, 0x11, &[0; 12]), 4096), ProxyHeader::Malformed);
        assert_eq!(parse(&v2(0x21, 0x11, &[0; 11]), 4096), ProxyHeader::Malformed);
        assert_eq!(parse(&v2(0x21, 0x21, &[0; 35]), 4096), ProxyHeader::Malformed);
        assert_eq!(parse(&v2(0x21, 0x51, &[0; 36]), 4096), ProxyHeader::Malformed);
    }

    #[test]
    fn every_prefix_waits() {
        for header in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2]),
        ] {
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end], 4096), ProxyHeader::Partial, "{end}");
            }
        }
    }
}
