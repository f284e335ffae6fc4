//! The visitor id: SipHash-2-4 over (site, client address, user agent), keyed by the day's random salt.
//!
//! The salt belongs to a calendar date and is deleted after it, so an id lives for one local day of one site and cannot
//! be traced back afterwards. The address goes into the hash and nowhere else.
//!
//! Hashed bytes, in this order: site id (4, little-endian), address (16, an IPv4 address in its IPv6-mapped form, so
//! that a dual-stack listener and a plain one agree), the event's date (4, days since the epoch, only when the salt in
//! use is another date's), user agent (all of it). Only the last part has a variable length and the date is present or
//! absent with the kind of salt, never by the sender's choice, so two different inputs cannot meet by concatenation.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// The 128-bit key of one calendar date.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt {
    key: [u8; 16],
}

impl Salt {
    /// A salt from its 16 random bytes.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Salt { key }
    }
}

/// Never shows the key: a salt in a log would undo the privacy of its day.
impl std::fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Salt(hidden)")
    }
}

/// What keys the visitor ids of one event: the salt, and the event's date when the salt is not that date's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitorKey {
    /// The salt in use.
    pub salt: Salt,
    /// Days since the epoch of the event's local date, when its own salt is gone or not there yet.
    pub foreign_date: Option<i32>,
}

/// Site and address.
const FIXED_BYTES: usize = 20;
/// Room for a hashed message; agents of browsers have 70 to 250 bytes.
const MESSAGE_BYTES: usize = 320;

/// The visitor's id for this site and local day.
#[must_use]
pub fn visitor_id(key: &VisitorKey, site_id: u32, address: IpAddr, agent: &[u8]) -> u64 {
    let hasher = SipHasher24::new_with_key(&key.salt.key);
    let mut message = [0_u8; MESSAGE_BYTES];
    fill_fixed(&mut message, site_id, address);
    let agent_at = match key.foreign_date {
        Some(date) => {
            fill(message.get_mut(FIXED_BYTES..).unwrap_or_default(), &date.to_le_bytes());
            FIXED_BYTES + 4
        }
        None => FIXED_BYTES,
    };
    // All in one piece, where it fits: several short writes cost more than the hash itself.
    if let Some(space) = message.get_mut(agent_at..agent_at + agent.len()) {
        space.copy_from_slice(agent);
        return hasher.hash(message.get(..agent_at + agent.len()).unwrap_or_default());
    }
    let mut hasher = hasher;
    hasher.write(message.get(..agent_at).unwrap_or_default());
    hasher.write(agent);
    hasher.finish()
}

fn fill_fixed(target: &mut [u8], site_id: u32, address: IpAddr) {
    let address = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    fill(target, &site_id.to_le_bytes());
    fill(target.get_mut(4..).unwrap_or_default(), &address.octets());
}

/// Writes `bytes` at the front of `target`, which has room for them.
fn fill(target: &mut [u8], bytes: &[u8]) {
    if let Some(front) = target.get_mut(..bytes.len()) {
        front.copy_from_slice(bytes);
    }
}

/// Where a visitor's rows go: a pure function of (site, visitor), independent of the bits that sampling looks at.
#[must_use]
pub fn shard_of(site_id: u32, visitor_id: u64, shards: u32) -> u32 {
    if shards <= 1 {
        return 0;
    }
    // Fibonacci mixing; the odd constant is 2^64 / golden ratio.
    let mixed = (visitor_id ^ u64::from(site_id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    scale(mixed, shards)
}

/// Whether sampling keeps this visitor: one in `sample_every`, all of a visitor's day or nothing of it.
#[must_use]
pub fn sample_keeps(visitor_id: u64, sample_every: u16) -> bool {
    sample_every <= 1 || scale(visitor_id, u32::from(sample_every)) == 0
}

/// Maps 64 uniform bits to `0..count` by their top bits.
fn scale(bits: u64, count: u32) -> u32 {
    let product = (u128::from(bits) * u128::from(count)) >> 64;
    u32::try_from(product).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// The first entries of the vectors published with the SipHash reference implementation: key 00..0f, message 00..n-1.
    const REFERENCE_VECTORS: [(usize, u64); 5] = [
        (0, 0x726f_db47_dd0e_0e31),
        (1, 0x74f8_39c5_93dc_67fd),
        (7, 0xab02_00f5_8b01_d137),
        (8, 0x93f5_f579_9a93_2462),
        (15, 0xa129_ca61_49be_45e5),
    ];

    #[test]
    fn the_hash_is_siphash_2_4() {
        let key: [u8; 16] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        for (length, expected) in REFERENCE_VECTORS {
            let message: Vec<u8> = (0..length).map(|index| u8::try_from(index).unwrap()).collect();
            let mut hasher = SipHasher24::new_with_key(&key);
            hasher.write(&message);
            assert_eq!(hasher.finish(), expected, "{length} bytes");
        }
    }

    /// The same hash over the bytes written out one after the other.
    fn naive_visitor_id(key: &VisitorKey, salt: [u8; 16], site_id: u32, address: IpAddr, agent: &[u8]) -> u64 {
        let mut message = site_id.to_le_bytes().to_vec();
        match address {
            IpAddr::V4(v4) => message.extend([&[0; 10][..], &[255, 255], &v4.octets()].concat()),
            IpAddr::V6(v6) => message.extend(v6.octets()),
        }
        if let Some(date) = key.foreign_date {
            message.extend(date.to_le_bytes());
        }
        message.extend(agent);
        SipHasher24::new_with_key(&salt).hash(&message)
    }

    proptest! {
        #[test]
        fn equals_the_naive_twin(
            salt: [u8; 16], site_id: u32, octets: [u8; 16], v4: bool, date: Option<i32>, agent: Vec<u8>,
        ) {
            let address = if v4 {
                IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))
            } else {
                IpAddr::V6(Ipv6Addr::from(octets))
            };
            let key = VisitorKey { salt: Salt::new(salt), foreign_date: date };
            prop_assert_eq!(
                visitor_id(&key, site_id, address, &agent),
                naive_visitor_id(&key, salt, site_id, address, &agent)
            );
        }

        #[test]
        fn shards_and_samples_stay_in_range(site_id: u32, visitor: u64, shards in 1_u32..300, every in 1_u16..) {
            prop_assert!(shard_of(site_id, visitor, shards) < shards);
            if every == 1 {
                prop_assert!(sample_keeps(visitor, every));
            }
        }
    }

    #[test]
    fn every_part_changes_the_id() {
        let key = VisitorKey { salt: Salt::new([7; 16]), foreign_date: None };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let base = visitor_id(&key, 1, address, b"agent");
        assert_eq!(base, visitor_id(&key, 1, address, b"agent"));
        assert_eq!(base, visitor_id(&key, 1, IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), b"agent"));
        assert_ne!(base, visitor_id(&key, 2, address, b"agent"));
        assert_ne!(base, visitor_id(&key, 1, IpAddr::V4(Ipv4Addr::BROADCAST), b"agent"));
        assert_ne!(base, visitor_id(&key, 1, address, b"agenu"));
        assert_ne!(base, visitor_id(&VisitorKey { foreign_date: Some(0), ..key }, 1, address, b"agent"));
        assert_ne!(base, visitor_id(&VisitorKey { salt: Salt::new([8; 16]), ..key }, 1, address, b"agent"));
    }

    /// Sampling looks at the top bits; were the shard to look at the same, one shard would get every kept visitor.
    #[test]
    fn kept_visitors_spread_over_the_shards() {
        let key = VisitorKey { salt: Salt::new([9; 16]), foreign_date: None };
        let mut kept = [0_u32; 4];
        for host in 0..40_000_u32 {
            let visitor = visitor_id(&key, 3, IpAddr::V4(Ipv4Addr::from(host)), b"agent");
            if sample_keeps(visitor, 4) {
                kept[shard_of(3, visitor, 4) as usize] += 1;
            }
        }
        assert!(kept.iter().all(|count| (2_250..2_750).contains(count)), "{kept:?}");
    }

    #[test]
    fn a_salt_never_shows_itself() {
        assert_eq!(format!("{:?}", Salt::new([0xab; 16])), "Salt(hidden)");
    }
}
