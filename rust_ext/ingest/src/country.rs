//! Country by address: sorted range starts with one byte of country each, and for IPv4 an index by the upper 16 bits.
//!
//! Pack sections, little-endian (written by `rust_ext/pack_rules.py`):
//!
//! | section | content |
//! |---|---|
//! | `cty4` | u16 countries, u16 zero, u32 ranges, countries × 2 ASCII bytes, ranges × u32 first address, ranges × u8 country + 1 |
//! | `cty6` | the same with u64 first address: the upper 64 bits |
//!
//! A range reaches to the next one's start; the first starts at 0; country 0 is "unknown". IPv6 ranges are kept to /64: providers
//! get /32 to /48, and nothing finer than /64 is routed.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One more than the number of /16 networks: entry i+1 ends what entry i begins.
const INDEX_ENTRIES: usize = (1 << 16) + 1;

/// A section, or an operator's file, does not hold what it must.
#[derive(Debug, PartialEq, Eq)]
pub struct MalformedCountries;

impl fmt::Display for MalformedCountries {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("country table: malformed")
    }
}

impl std::error::Error for MalformedCountries {}

/// Country by address. Empty = every answer is `None`.
#[derive(Debug, Default)]
pub struct CountryTable {
    v4: Ranges<u32>,
    v6: Ranges<u64>,
    /// For each upper half of an IPv4 address, the last range that starts at or before its first address.
    v4_index: Vec<u32>,
}

#[derive(Debug, Default)]
struct Ranges<T> {
    starts: Vec<T>,
    /// Per range, 1 + index in `countries`, 0 = unknown.
    codes: Vec<u8>,
    countries: Vec<[u8; 2]>,
}

impl CountryTable {
    /// Reads the pack's sections; an absent one answers nothing.
    ///
    /// # Errors
    /// When lengths, order or country numbers are wrong.
    pub fn from_sections(v4: Option<&[u8]>, v6: Option<&[u8]>) -> Result<CountryTable, MalformedCountries> {
        let v4 = v4.map_or_else(|| Some(Ranges::default()), |bytes| Ranges::parse(bytes, u32::from_le_bytes));
        let v6 = v6.map_or_else(|| Some(Ranges::default()), |bytes| Ranges::parse(bytes, u64::from_le_bytes));
        let (Some(v4), Some(v6)) = (v4, v6) else {
            return Err(MalformedCountries);
        };
        let v4_index = index(&v4.starts);
        Ok(CountryTable { v4, v6, v4_index })
    }

    /// ISO 3166-1 alpha-2 of the address, upper case. IPv4 inside IPv6 (mapped) counts as IPv4.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<[u8; 2]> {
        match address {
            IpAddr::V4(v4) => self.lookup_v4(v4),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => self.lookup_v4(v4),
                None => self.lookup_v6(v6),
            },
        }
    }

    fn lookup_v4(&self, address: Ipv4Addr) -> Option<[u8; 2]> {
        let address = address.to_bits();
        let upper = usize::try_from(address >> 16).ok()?;
        let from = usize::try_from(*self.v4_index.get(upper)?).ok()?;
        let to = usize::try_from(*self.v4_index.get(upper + 1)?).ok()?;
        // Within this /16: the last range that starts at or before the address. `from` always does.
        let within = self.v4.starts.get(from + 1..=to)?.partition_point(|&start| start <= address);
        self.v4.country(from + within)
    }

    fn lookup_v6(&self, address: Ipv6Addr) -> Option<[u8; 2]> {
        let upper = u64::try_from(address.to_bits() >> 64).ok()?;
        let after = self.v6.starts.partition_point(|&start| start <= upper);
        self.v6.country(after.checked_sub(1)?)
    }

    /// Ranges held, IPv4 and IPv6.
    #[must_use]
    pub fn range_counts(&self) -> (usize, usize) {
        (self.v4.starts.len(), self.v6.starts.len())
    }
}

impl<T: Copy + Ord + Default> Ranges<T> {
    fn parse<const BYTES: usize>(bytes: &[u8], number: impl Fn([u8; BYTES]) -> T) -> Option<Ranges<T>> {
        let (header, rest) = bytes.split_at_checked(8)?;
        let country_count = usize::from(u16::from_le_bytes(header.get(..2)?.try_into().ok()?));
        let range_count = usize::try_from(u32::from_le_bytes(header.get(4..8)?.try_into().ok()?)).ok()?;
        let (names, rest) = rest.split_at_checked(country_count.checked_mul(2)?)?;
        let (starts, codes) = rest.split_at_checked(range_count.checked_mul(BYTES)?)?;
        let countries = names.as_chunks::<2>().0.to_vec();
        let starts: Vec<T> = starts.as_chunks::<BYTES>().0.iter().map(|&chunk| number(chunk)).collect();
        let is_sound = codes.len() == range_count
            && starts.first().is_none_or(|&first| first == T::default())
            && starts.is_sorted_by(|a, b| a < b)
            && codes.iter().all(|&code| usize::from(code) <= country_count)
            && countries.as_flattened().iter().all(u8::is_ascii_uppercase);
        is_sound.then(|| Ranges { starts, codes: codes.to_vec(), countries })
    }

    fn country(&self, range: usize) -> Option<[u8; 2]> {
        let code = usize::from(*self.codes.get(range)?);
        self.countries.get(code.checked_sub(1)?).copied()
    }
}

/// See `CountryTable::v4_index`. Empty when there are no ranges.
fn index(starts: &[u32]) -> Vec<u32> {
    if starts.is_empty() {
        return Vec::new();
    }
    let mut index = Vec::with_capacity(INDEX_ENTRIES);
    let mut range = 0_usize;
    for upper in 0..=u32::from(u16::MAX) {
        while starts.get(range + 1).is_some_and(|&next| next <= upper << 16) {
            range += 1;
        }
        index.push(u32::try_from(range).unwrap_or(u32::MAX));
    }
    index.push(u32::try_from(starts.len() - 1).unwrap_or(u32::MAX));
    index
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::expect_used,
        clippy::cast_possible_truncation
    )]
    use proptest::prelude::*;

    use super::*;

    const COUNTRIES: [[u8; 2]; 3] = [*b"DE", *b"FR", *b"US"];

    /// The twin: a walk over all ranges.
    fn naive<T: Copy + PartialOrd>(ranges: &[(T, u8)], address: T) -> Option<[u8; 2]> {
        let (_, code) = ranges.iter().rev().find(|(start, _)| *start <= address)?;
        code.checked_sub(1).map(|index| COUNTRIES[usize::from(index)])
    }

    fn section<T: Copy>(ranges: &[(T, u8)], number: impl Fn(T) -> Vec<u8>) -> Vec<u8> {
        let mut out = (COUNTRIES.len() as u16).to_le_bytes().to_vec();
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
        out.extend_from_slice(COUNTRIES.as_flattened());
        ranges.iter().for_each(|(start, _)| out.extend(number(*start)));
        out.extend(ranges.iter().map(|(_, code)| *code));
        out
    }

    fn v4_ranges() -> impl Strategy<Value = Vec<(u32, u8)>> {
        // Starts gather around a few /16 borders, where the index could be off by one.
        let start = prop_oneof![
            any::<u32>(),
            (0_u32..4, -2_i64..3).prop_map(|(upper, near)| ((i64::from(upper) << 16) + near).max(0) as u32)
        ];
        prop::collection::btree_map(start, 0_u8..4, 0..40).prop_map(|mut map| {
            map.entry(0).or_insert(0);
            map.into_iter().collect()
        })
    }

    proptest! {
        #[test]
        fn v4_equals_the_naive_walk(ranges in v4_ranges(), extra in prop::collection::vec(any::<u32>(), 20)) {
            let bytes = section(&ranges, |start| start.to_le_bytes().to_vec());
            let table = CountryTable::from_sections(Some(&bytes), None).unwrap();
            let near = ranges.iter().flat_map(|(start, _)| [start.wrapping_sub(1), *start, start.wrapping_add(1)]);
            for address in near.chain(extra) {
                let expected = naive(&ranges, address);
                prop_assert_eq!(table.lookup(IpAddr::V4(Ipv4Addr::from_bits(address))), expected);
                prop_assert_eq!(table.lookup(IpAddr::V6(Ipv4Addr::from_bits(address).to_ipv6_mapped())), expected);
            }
        }

        #[test]
        fn v6_equals_the_naive_walk(ranges in prop::collection::btree_map(any::<u64>(), 0_u8..4, 0..40), lower in any::<u64>()) {
            let mut ranges = ranges;
            ranges.entry(0).or_insert(0);
            let ranges: Vec<(u64, u8)> = ranges.into_iter().collect();
            let bytes = section(&ranges, |start| start.to_le_bytes().to_vec());
            let table = CountryTable::from_sections(None, Some(&bytes)).unwrap();
            for (start, _) in &ranges {
                for upper in [start.wrapping_sub(1), *start, start.wrapping_add(1)] {
                    // ::/64 holds the mapped IPv4 addresses.
                    if upper == 0 { continue; }
                    let address = Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(lower));
                    prop_assert_eq!(table.lookup(IpAddr::V6(address)), naive(&ranges, upper));
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = CountryTable::from_sections(Some(&bytes), Some(&bytes));
        }
    }

    #[test]
    fn an_empty_table_knows_nothing() {
        let table = CountryTable::default();
        assert_eq!(table.lookup(IpAddr::V4(Ipv4Addr::LOCALHOST)), None);
        assert_eq!(table.lookup(IpAddr::V6(Ipv6Addr::LOCALHOST)), None);
    }

    #[test]
    fn refuses_disorder_and_unknown_country_numbers() {
        let number = |start: u32| start.to_le_bytes().to_vec();
        for ranges in [vec![(0, 1), (5, 2), (5, 1)], vec![(0, 1), (9, 2), (5, 1)], vec![(1, 1)], vec![(0, 4)]] {
            assert!(CountryTable::from_sections(Some(&section(&ranges, number)), None).is_err(), "{ranges:?}");
        }
        let whole = section(&[(0, 1), (7, 2)], number);
        for len in 0..whole.len() {
            assert!(CountryTable::from_sections(Some(&whole[..len]), None).is_err(), "cut at {len}");
        }
    }
}
