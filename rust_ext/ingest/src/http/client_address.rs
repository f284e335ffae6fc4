//! Whose hit this is: the peer's address, or what a trusted proxy says.
//!
//! Rules:
//!
//! * A forwarded header counts only when the peer itself lies in a trusted network. Anyone else can write what they
//!   like.
//! * In a list header (`X-Forwarded-For`) proxies append on the right, so the client is the rightmost entry that is not
//!   a trusted proxy. Everything left of it is hearsay.
//! * An entry that is no address ends the walk: the client is then the last proxy that was understood.
//! * A single-value header (`CF-Connecting-IP`) counts only when it occurs once and is an address.
//! * IPv4-mapped IPv6 addresses are the IPv4 address, so that one visitor is one address on dual-stack sockets.
use super::head::is_named;
use crate::lanes::text_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The client's address. Never stored, never logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    /// The address, IPv4-mapped ones as IPv4.
    pub ip: IpAddr,
}

impl std::fmt::Debug for ClientAddress {
    /// Hides the address, so that no debug print puts one into a log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.ip.is_ipv4() { "ClientAddress(v4)" } else { "ClientAddress(v6)" })
    }
}

/// The socket's other end, as accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress {
    /// The address.
    pub ip: IpAddr,
    /// The port; 0 when unknown.
    pub port: u16,
}

impl PeerAddress {
    /// Parses `getpeername`'s host text; a zone (`fe80::1%eth0`) is cut off.
    #[must_use]
    pub fn parse(host: &str, port: u16) -> Option<PeerAddress> {
        let host = host.split_once('%').map_or(host, |(address, _)| address);
        Some(PeerAddress { ip: host.parse::<IpAddr>().ok()?.to_canonical(), port })
    }
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    mask: u128,
}

impl Network {
    /// Parses `10.0.0.0/8`, `fd00::/8` or a lone address.
    ///
    /// # Errors
    /// Not that. Bits right of the prefix must be zero: a set one is usually a mistyped prefix.
    pub fn parse(text: &str) -> Result<Network, TrustError> {
        let refuse = || TrustError::Network(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| refuse())?,
            Some(_) => return Err(refuse()),
        };
        if prefix > width {
            return Err(refuse());
        }
        let mask = u128::MAX.checked_shl(width - prefix).unwrap_or(0);
        let bits = mapped_bits(address);
        if bits & mask != bits {
            return Err(refuse());
        }
        Ok(Network { bits, mask })
    }

    /// Whether the address lies in the network.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        mapped_bits(ip) & self.mask == self.bits
    }
}

/// The address's 128 bits, IPv4 as IPv4-mapped.
fn mapped_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Where trusted proxies put the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ForwardedForm {
    /// `X-Forwarded-For` and headers named like it: a list, proxies append.
    List,
    /// `CF-Connecting-IP`, `X-Real-IP`, `True-Client-IP`, …: one address.
    Single,
}

/// Whose word about the client's address is believed, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyTrust {
    networks: Vec<Network>,
    header: Box<str>,
    /// Letters, digits and hyphens, as every usual header's name.
    header_is_plain: bool,
    form: ForwardedForm,
    proxy_protocol: bool,
}

impl Default for ProxyTrust {
    /// Nobody is trusted.
    fn default() -> Self {
        ProxyTrust {
            networks: Vec::new(),
            header: "x-forwarded-for".into(),
            header_is_plain: true,
            form: ForwardedForm::List,
            proxy_protocol: false,
        }
    }
}

/// A trust setting that cannot be meant. Fatal at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustError {
    /// Not a network in CIDR notation.
    Network(String),
    /// Not a header that can name one client: not a token, or RFC 7239's `Forwarded`, which this front does not read.
    Header(String),
}

impl std::fmt::Display for TrustError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TrustError::Network(text) => write!(formatter, "{text:?} is not a network such as 10.0.0.0/8"),
            TrustError::Header(text) => {
                write!(
                    formatter,
                    "{text:?} is not a header with the client's address (X-Forwarded-For, CF-Connecting-IP, …)"
                )
            }
        }
    }
}

impl std::error::Error for TrustError {}

impl ProxyTrust {
    /// Trusts these networks' word in this header; with `proxy_protocol` their connections must open with a PROXY
    /// header.
    ///
    /// # Errors
    /// A network or the header's name is not one.
    pub fn new<T: AsRef<str>>(networks: &[T], header: &str, proxy_protocol: bool) -> Result<ProxyTrust, TrustError> {
        let networks = networks.iter().map(|text| Network::parse(text.as_ref().trim())).collect::<Result<_, _>>()?;
        let header = header.trim().to_ascii_lowercase();
        let is_token = !header.is_empty() && header.bytes().all(super::response::is_token_byte);
        if !is_token || header == "forwarded" {
            return Err(TrustError::Header(header));
        }
        let form = if header.ends_with("forwarded-for") { ForwardedForm::List } else { ForwardedForm::Single };
        let header_is_plain = header.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        Ok(ProxyTrust { networks, header: header.into(), header_is_plain, form, proxy_protocol })
    }

    /// Whether this peer is one of the trusted proxies.
    #[must_use]
    pub fn is_trusted(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Whether a connection of this peer must open with a PROXY header. Untrusted peers' connections never may.
    #[must_use]
    pub fn expects_proxy_header(&self, ip: IpAddr) -> bool {
        self.proxy_protocol && self.is_trusted(ip)
    }

    /// Whether this name, a token, is the header's.
    #[inline]
    pub(super) fn is_forwarded_header(&self, name: &[u8]) -> bool {
        let begins_alike =
            name.first().map(|byte| byte | 0x20) == self.header.as_bytes().first().map(|byte| byte | 0x20);
        name.len() == self.header.len() && begins_alike && self.is_header_of_this_length(name)
    }

    #[inline(never)]
    fn is_header_of_this_length(&self, name: &[u8]) -> bool {
        let header = self.header.as_bytes();
        if self.header_is_plain { is_named(name, header) } else { name.eq_ignore_ascii_case(header) }
    }

    /// The client behind a trusted `peer`, given the forwarded header's values in the order of the request.
    pub(super) fn client_behind<'a>(
        &self,
        peer: IpAddr,
        values: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> ClientAddress {
        let ip = match self.form {
            ForwardedForm::List => self.rightmost_untrusted(peer, values),
            ForwardedForm::Single => single(values).unwrap_or(peer),
        };
        ClientAddress { ip }
    }

    fn rightmost_untrusted<'a>(&self, peer: IpAddr, values: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
        let mut client = peer;
        for value in values.rev() {
            let is_found = match v4_of(value) {
                // Nearly always one address and nothing else.
                Some(ip) => {
                    client = IpAddr::V4(ip);
                    !self.is_trusted(client)
                }
                None => self.walk_list(value, &mut client),
            };
            if is_found {
                break;
            }
        }
        client
    }

    /// Walks one header value from its right; whether the walk ends in it. `client` is the last address that it came to.
    #[inline(never)]
    fn walk_list(&self, value: &[u8], client: &mut IpAddr) -> bool {
        for entry in value.rsplit(|byte| *byte == b',') {
            let entry = entry.trim_ascii();
            if entry.is_empty() {
                continue; // RFC 9110 §5.6.1: empty list elements are ignored
            }
            let Some(ip) = parse_entry(entry) else { return true };
            *client = ip;
            if !self.is_trusted(ip) {
                return true;
            }
        }
        false
    }
}

fn single<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<IpAddr> {
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    parse_entry(value.trim_ascii())
}

/// Four numbers up to 255 with dots between them and no leading zeros, as [`Ipv4Addr`]'s own parser takes them.
fn v4_of(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut bits, mut dots) = (0_u32, 0_u32);
    let (mut value, mut digits) = (0_u32, 0_u32);
    for byte in text {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if digit < 10 {
            let has_leading_zero = digits > 0 && value == 0;
            value = value * 10 + digit;
            digits += 1;
            if has_leading_zero || value > 255 {
                return None;
            }
        } else if *byte == b'.' && digits > 0 && dots < 3 {
            bits = (bits << 8) | value;
            dots += 1;
            (value, digits) = (0, 0);
        } else {
            return None;
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from_bits((bits << 8) | value))
}

/// An address as proxies write it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    if let Some(ip) = v4_of(entry) {
        return Some(IpAddr::V4(ip));
    }
    let text = text_of(entry).ok()?;
    let ip = if let Ok(ip) = text.parse::<IpAddr>() {
        ip
    } else if let Some(bare) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        IpAddr::V6(bare.parse::<Ipv6Addr>().ok()?)
    } else {
        text.parse::<SocketAddr>().ok()?.ip()
    };
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use proptest::prelude::*;

    /// The walk written down plainly: every entry parsed by the standard library.
    fn naive_rightmost_untrusted(trust: &ProxyTrust, peer: IpAddr, values: &[&str]) -> IpAddr {
        let mut client = peer;
        for entry in values.iter().rev().flat_map(|value| value.rsplit(',')).map(|entry| entry.trim_ascii()) {
            if entry.is_empty() {
                continue;
            }
            let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let parsed = entry.parse::<IpAddr>().or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()));
            let parsed = parsed.or_else(|_| bare.unwrap_or("").parse::<Ipv6Addr>().map(IpAddr::V6));
            let Ok(ip) = parsed else { break };
            client = ip.to_canonical();
            if !trust.is_trusted(client) {
                break;
            }
        }
        client
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn four_numbers_are_read_as_the_standard_library_reads_them(
            text in "[0-9]{0,4}[.x]?[0-9]{0,3}[.]?[0-9]{0,3}[.]{0,2}[0-9]{1,3}[.: ]?", octets: [u8; 4],
        ) {
            prop_assert_eq!(v4_of(text.as_bytes()), text.parse().ok(), "{}", text);
            let address = Ipv4Addr::from(octets);
            prop_assert_eq!(v4_of(address.to_string().as_bytes()), Some(address));
        }

        #[test]
        fn the_walk_equals_its_twin(values in prop::collection::vec(
            "( ?(10[.]0[.]0[.][0-9]{1,2}|192[.]0[.]2[.]1|1[.]2[.]3|::1|[0-9.]{7}|\\[::2\\]|1[.]1[.]1[.]1:4|x)? ?,?){0,4}", 0..3,
        )) {
            let trust = ProxyTrust::new(&["10.0.0.0/8", "::1"], "X-Forwarded-For", false).unwrap();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let found = trust.client_behind(ip("10.9.9.9"), values.iter().map(|value| value.as_bytes()));
            prop_assert_eq!(found.ip, naive_rightmost_untrusted(&trust, ip("10.9.9.9"), &values), "{:?}", values);
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(trust: &ProxyTrust, peer: &str, values: &[&str]) -> String {
        trust.client_behind(ip(peer), values.iter().map(|value| value.as_bytes())).ip.to_string()
    }

    #[test]
    fn networks_parse_and_contain() {
        let ten = Network::parse("10.0.0.0/8").unwrap();
        assert!(ten.contains(ip("10.255.0.1")) && ten.contains(ip("::ffff:10.0.0.1")));
        assert!(!ten.contains(ip("11.0.0.0")) && !ten.contains(ip("::10.0.0.1")));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains(ip("8.8.8.8")));
        assert!(!Network::parse("0.0.0.0/0").unwrap().contains(ip("2001:db8::1")));
        assert!(Network::parse("::/0").unwrap().contains(ip("8.8.8.8")));
        assert!(Network::parse("2001:db8::/32").unwrap().contains(ip("2001:db8:ffff::")));
        assert!(Network::parse("192.0.2.7").unwrap().contains(ip("192.0.2.7")));
        for bad in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/+8", "10.0.0.0/", "::/129", "10.0.0/8", "proxy"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_client_is_the_rightmost_untrusted_entry() {
        let trust = ProxyTrust::new(&["10.0.0.0/8", "fd00::/8"], "X-Forwarded-For", false).unwrap();
        for (values, expected) in [
            (&[][..], "10.0.0.1"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1", "10.0.0.2, fd00::1"], "192.0.2.1"),
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, unknown"], "10.0.0.1"),
            (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1,,  ,"], "192.0.2.1"),
            (&["192.0.2.1 6.6.6.6"], "10.0.0.1"),
            (&["0x7f.1"], "10.0.0.1"),
        ] {
            assert_eq!(client(&trust, "10.0.0.1", values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_named_header_counts_once() {
        let trust = ProxyTrust::new(&["10.0.0.0/8"], "CF-Connecting-IP", false).unwrap();
        assert_eq!(client(&trust, "10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&trust, "10.0.0.1", &["192.0.2.1", "192.0.2.2"]), "10.0.0.1");
        assert_eq!(client(&trust, "10.0.0.1", &["192.0.2.1, 192.0.2.2"]), "10.0.0.1");
        assert_eq!(client(&trust, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn unusable_settings_are_refused() {
        let none: [&str; 0] = [];
        for header in ["", "Forwarded", "x forwarded", "x\r\n"] {
            let refused = ProxyTrust::new(&none, header, false);
            assert_eq!(refused.is_err(), header != "x\r\n", "{header:?}"); // surrounding blanks are cut off
        }
        assert!(!ProxyTrust::default().is_trusted(ip("127.0.0.1")));
        assert!(!format!("{:?}", ClientAddress { ip: ip("192.0.2.1") }).contains("192"));
        assert_eq!(PeerAddress::parse("fe80::1%eth0", 1).unwrap().ip, ip("fe80::1"));
        assert_eq!(PeerAddress::parse("::ffff:192.0.2.1", 1).unwrap().ip, ip("192.0.2.1"));
    }
}
