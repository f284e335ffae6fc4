//! Networks as a set of addresses: sorted ranges that neither touch nor overlap, looked up by halving.
//!
//! 10,000 networks cost a lookup 14 comparisons. An IPv4 network and its IPv4-mapped form are one; every other IPv6
//! network, `::/0` too, holds no IPv4 address.

use std::fmt;
use std::net::IpAddr;

/// A set of networks.
#[derive(Clone, Default)]
pub struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Shows how many ranges there are, never which: an entry may be one person's address.
impl fmt::Debug for Networks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Networks({} IPv4, {} IPv6 ranges)", self.v4.firsts.len(), self.v6.firsts.len())
    }
}

/// First and last address of each range, apart so that a search stays within the firsts.
#[derive(Clone, Default)]
struct Ranges<T> {
    firsts: Box<[T]>,
    lasts: Box<[T]>,
}

impl Networks {
    /// The set of these networks: an address, or one with `/` and its prefix; bits behind the prefix do not count.
    /// `None` when one cannot be read.
    #[must_use]
    pub fn read(networks: &[String]) -> Option<Networks> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match parse(network.trim())? {
                (IpAddr::V4(address), prefix) => {
                    let rest = u32::MAX.checked_shr(prefix).unwrap_or(0);
                    v4.push((address.to_bits() & !rest, address.to_bits() | rest));
                }
                (IpAddr::V6(address), prefix) => {
                    let rest = u128::MAX.checked_shr(prefix).unwrap_or(0);
                    v6.push((address.to_bits() & !rest, address.to_bits() | rest));
                }
            }
        }
        Some(Networks { v4: Ranges::merge(v4), v6: Ranges::merge(v6) })
    }

    /// Whether this address is in one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.contains(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.contains(v6.to_bits()),
        }
    }
}

/// Address and prefix; a mapped network is read as the IPv4 network it is.
fn parse(text: &str) -> Option<(IpAddr, u32)> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|&prefix| prefix <= bits)?
        }
        Some(_) => return None,
    };
    match address.to_canonical() {
        IpAddr::V4(v4) if bits == 128 && prefix >= 96 => Some((IpAddr::V4(v4), prefix - 96)),
        _ => Some((address, prefix)),
    }
}

impl<T: Copy + Ord> Ranges<T> {
    fn merge(mut ranges: Vec<(T, T)>) -> Ranges<T> {
        ranges.sort_unstable();
        let (mut firsts, mut lasts) = (Vec::new(), Vec::<T>::new());
        for (first, last) in ranges {
            match lasts.last_mut() {
                Some(before) if first <= *before => *before = last.max(*before),
                _ => {
                    firsts.push(first);
                    lasts.push(last);
                }
            }
        }
        Ranges { firsts: firsts.into_boxed_slice(), lasts: lasts.into_boxed_slice() }
    }

    fn contains(&self, address: T) -> bool {
        let after = self.firsts.partition_point(|first| *first <= address);
        after.checked_sub(1).and_then(|at| self.lasts.get(at)).is_some_and(|last| address <= *last)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// The twin: every network's leading bits, one by one.
    fn naive(networks: &[(IpAddr, u32)], address: IpAddr) -> bool {
        let bits = |address: IpAddr| -> Vec<bool> {
            let octets = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            octets.iter().flat_map(|octet| (0..8).map(move |bit| octet >> (7 - bit) & 1 == 1)).collect()
        };
        let address = address.to_canonical();
        networks.iter().any(|(network, prefix)| {
            let (network, prefix) = match network.to_canonical() {
                canonical if canonical == *network => (*network, *prefix),
                v4 if *prefix >= 96 => (v4, prefix - 96),
                _ => (*network, *prefix),
            };
            let length = usize::try_from(prefix).unwrap();
            network.is_ipv4() == address.is_ipv4() && bits(network)[..length] == bits(address)[..length]
        })
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        // Few distinct values, so that networks hold addresses and each other.
        let near = (0_u32..8, 0_u32..4).prop_map(|(high, low)| (high << 29) | low);
        let v4 = prop_oneof![near, any::<u32>()].prop_map(Ipv4Addr::from_bits);
        let near = (0_u128..8, 0_u128..4).prop_map(|(high, low)| (high << 125) | low);
        let v6 = prop_oneof![near, any::<u128>()].prop_map(Ipv6Addr::from_bits);
        prop_oneof![
            v4.clone().prop_map(IpAddr::V4),
            v4.prop_map(|v4| IpAddr::V6(v4.to_ipv6_mapped())),
            v6.prop_map(IpAddr::V6),
        ]
    }

    fn network() -> impl Strategy<Value = (IpAddr, u32)> {
        address().prop_flat_map(|address| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            (Just(address), prop_oneof![Just(bits), Just(0), 0..=bits, bits - 4..=bits])
        })
    }

    proptest! {
        #[test]
        fn equals_the_naive_twin(
            networks in prop::collection::vec(network(), 0..12), strangers in prop::collection::vec(address(), 1..20),
        ) {
            let texts: Vec<String> = networks.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
            let set = Networks::read(&texts).unwrap();
            let borders = networks.iter().flat_map(|(address, prefix)| match address {
                IpAddr::V4(v4) => {
                    let rest = u32::MAX.checked_shr(*prefix).unwrap_or(0);
                    let (first, last) = (v4.to_bits() & !rest, v4.to_bits() | rest);
                    [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(|bits| IpAddr::V4(bits.into()))
                }
                IpAddr::V6(v6) => {
                    let rest = u128::MAX.checked_shr(*prefix).unwrap_or(0);
                    let (first, last) = (v6.to_bits() & !rest, v6.to_bits() | rest);
                    [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(|bits| IpAddr::V6(bits.into()))
                }
            });
            for address in borders.chain(strangers) {
                prop_assert_eq!(set.contains(address), naive(&networks, address), "{}", address);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,50}") {
            let _ = Networks::read(&[text]);
        }
    }

    #[test]
    fn what_is_no_network() {
        for text in ["", "1.2.3", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/+8", "1.2.3.4/8/8", "::1/129", "fe80::1%eth0", "x"]
        {
            assert!(Networks::read(&[text.to_owned()]).is_none(), "{text}");
        }
    }

    #[test]
    fn every_ipv6_address_is_no_ipv4_address() {
        let all_v6 = Networks::read(&["::/0".to_owned()]).unwrap();
        assert!(all_v6.contains("2001:db8::1".parse().unwrap()));
        assert!(!all_v6.contains("192.0.2.1".parse().unwrap()));
        assert!(!all_v6.contains("::ffff:192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn ten_thousand_networks_are_ten_thousand_ranges() {
        let texts: Vec<String> =
            (0..10_000_u32).map(|index| format!("{}/30", Ipv4Addr::from_bits(index << 4))).collect();
        let set = Networks::read(&texts).unwrap();
        assert_eq!(set.v4.firsts.len(), 10_000);
        for index in 0..10_000_u32 {
            assert!(set.contains(IpAddr::V4(Ipv4Addr::from_bits(index << 4 | 3))));
            assert!(!set.contains(IpAddr::V4(Ipv4Addr::from_bits(index << 4 | 4))));
        }
    }
}
