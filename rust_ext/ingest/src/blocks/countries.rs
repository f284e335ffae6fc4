//! Countries as a set: one bit for each pair of letters.

/// Pairs of letters, A to Z each.
const PAIRS: usize = 26 * 26;

/// A set of ISO 3166-1 alpha-2 codes.
#[derive(Debug, Clone, Default)]
pub struct Countries {
    bits: [u64; PAIRS.div_ceil(64)],
}

impl Countries {
    /// The set of these codes, in either case; `None` when one is not two letters.
    #[must_use]
    pub fn read(codes: &[String]) -> Option<Countries> {
        let mut countries = Countries::default();
        for code in codes {
            let letters: [u8; 2] = code.trim().to_ascii_uppercase().as_bytes().try_into().ok()?;
            let (word, bit) = place(letters)?;
            *countries.bits.get_mut(word)? |= bit;
        }
        Some(countries)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Whether this country (upper case) is in the set.
    #[must_use]
    pub fn contains(&self, country: [u8; 2]) -> bool {
        place(country).is_some_and(|(word, bit)| self.bits.get(word).is_some_and(|bits| bits & bit != 0))
    }
}

/// Word and bit of a pair.
fn place([first, second]: [u8; 2]) -> Option<(usize, u64)> {
    if !first.is_ascii_uppercase() || !second.is_ascii_uppercase() {
        return None;
    }
    let pair = usize::from(first - b'A') * 26 + usize::from(second - b'A');
    Some((pair / 64, 1 << (pair % 64)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Countries;

    proptest! {
        #[test]
        fn equals_a_set(codes in prop::collection::btree_set("[A-Z]{2}", 0..40)) {
            let countries = Countries::read(&codes.iter().cloned().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(countries.is_empty(), codes.is_empty());
            let mut found = BTreeSet::new();
            for first in b'A'..=b'Z' {
                for second in b'A'..=b'Z' {
                    if countries.contains([first, second]) {
                        found.insert(String::from_utf8(vec![first, second]).unwrap());
                    }
                }
            }
            prop_assert_eq!(found, codes);
        }
    }

    #[test]
    fn what_is_no_country() {
        for code in ["", "D", "DEU", "1A", "D1", "Ä", "ÄÄ", "  "] {
            assert!(Countries::read(&[code.to_owned()]).is_none(), "{code}");
        }
        let countries = Countries::read(&[" de ".to_owned()]).unwrap();
        assert!(countries.contains(*b"DE"));
        for country in [*b"de", *b"FR", [0, 0], [255, 255]] {
            assert!(!countries.contains(country));
        }
    }
}
