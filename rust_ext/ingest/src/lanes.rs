//! Sixteen bytes at a time: the comparisons that reading a request comes down to.
//!
//! On x86-64 one [`Lanes`] is an SSE2 register, which every such processor has, so nothing is asked at run time; elsewhere it
//! is two words of eight bytes with the same meaning. A load is two words put together, which the compiler turns into one:
//! no pointer is needed.
//!
//! ```text
//! bytes ── Lanes ── within(b'a', b'z') | equal(b'-') ──▶ Marks ── bits() ──▶ one bit per byte, the first byte's lowest
//! ```

/// Bytes of one step.
pub(crate) const LANES: usize = 16;

#[cfg(target_feature = "sse2")]
mod word {
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8, _mm_sub_epi8,
    };

    /// One or more intrinsics of SSE2.
    macro_rules! sse2 {
        ($call:expr) => {
            // SAFETY: these intrinsics touch no memory and ask for nothing but SSE2, without which this module is not compiled.
            unsafe { $call }
        };
    }

    /// Sixteen bytes. Its methods hold for each byte on its own; a true one is 0xff.
    #[derive(Clone, Copy)]
    pub(super) struct Word(__m128i);

    impl Word {
        #[inline]
        pub(super) fn of(low: u64, high: u64) -> Word {
            Word(sse2!(_mm_set_epi64x(high.cast_signed(), low.cast_signed())))
        }
        #[inline]
        pub(super) fn splat(byte: u8) -> Word {
            Word(sse2!(_mm_set1_epi8(byte.cast_signed())))
        }
        #[inline]
        pub(super) fn or(self, other: Word) -> Word {
            Word(sse2!(_mm_or_si128(self.0, other.0)))
        }
        #[inline]
        pub(super) fn and(self, other: Word) -> Word {
            Word(sse2!(_mm_and_si128(self.0, other.0)))
        }
        #[inline]
        pub(super) fn equals(self, other: Word) -> Word {
            Word(sse2!(_mm_cmpeq_epi8(self.0, other.0)))
        }
        #[inline]
        pub(super) fn minus(self, other: Word) -> Word {
            Word(sse2!(_mm_sub_epi8(self.0, other.0)))
        }
        #[inline]
        pub(super) fn at_most(self, bound: Word) -> Word {
            Word(sse2!(_mm_cmpeq_epi8(_mm_min_epu8(self.0, bound.0), self.0)))
        }
        /// The top bit of each byte.
        #[inline]
        pub(super) fn tops(self) -> u32 {
            sse2!(_mm_movemask_epi8(self.0)).cast_unsigned()
        }
    }
}

#[cfg(not(target_feature = "sse2"))]
use portable as word;

/// The same without the processor's help; compiled everywhere, so that the tests can hold it to the same answers.
#[cfg(any(test, not(target_feature = "sse2")))]
mod portable {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;

    #[derive(Clone, Copy)]
    pub(super) struct Word([u64; 2]);

    /// 0xff where the top bit is set.
    fn spread(tops: u64) -> u64 {
        ((tops & TOPS) >> 7) * 0xff
    }

    impl Word {
        #[inline]
        pub(super) fn of(low: u64, high: u64) -> Word {
            Word([low, high])
        }
        #[inline]
        pub(super) fn splat(byte: u8) -> Word {
            Word([u64::from(byte) * ONES; 2])
        }
        #[inline]
        fn with(self, other: Word, change: impl Fn(u64, u64) -> u64) -> Word {
            Word([change(self.0[0], other.0[0]), change(self.0[1], other.0[1])])
        }
        #[inline]
        pub(super) fn or(self, other: Word) -> Word {
            self.with(other, |one, other| one | other)
        }
        #[inline]
        pub(super) fn and(self, other: Word) -> Word {
            self.with(other, |one, other| one & other)
        }
        #[inline]
        pub(super) fn equals(self, other: Word) -> Word {
            self.with(other, |one, other| {
                let differing = one ^ other;
                spread(!(((differing & !TOPS) + !TOPS) | differing))
            })
        }
        /// Without a borrow from byte to byte: the tops are set before and put right afterwards.
        #[inline]
        pub(super) fn minus(self, other: Word) -> Word {
            self.with(other, |one, other| ((one | TOPS) - (other & !TOPS)) ^ ((one ^ !other) & TOPS))
        }
        #[inline]
        pub(super) fn at_most(self, bound: Word) -> Word {
            self.with(bound, |one, bound| {
                let no_borrow = (bound | TOPS) - (one & !TOPS); // its tops: the low seven bits are at most the bound's
                spread((bound & !one) | (!(bound ^ one) & no_borrow))
            })
        }
        #[inline]
        pub(super) fn tops(self) -> u32 {
            let gathered = self.0.map(|half| ((half & TOPS) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56);
            u32::try_from(gathered[0] | (gathered[1] << 8)).unwrap_or_default()
        }
    }
}

/// Sixteen bytes to be compared.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(word::Word);

/// For each of sixteen bytes, whether something holds.
#[derive(Clone, Copy)]
pub(crate) struct Marks(word::Word);

impl Lanes {
    #[inline]
    pub(crate) fn load(bytes: &[u8; LANES]) -> Lanes {
        let both = u128::from_le_bytes(*bytes);
        Lanes::of(both)
    }

    #[inline]
    fn of(both: u128) -> Lanes {
        #[allow(clippy::cast_possible_truncation, reason = "its two halves")]
        let (low, high) = (both as u64, (both >> 64) as u64);
        Lanes(word::Word::of(low, high))
    }

    /// Of at most sixteen bytes, zeros after them.
    #[inline]
    fn load_short(bytes: &[u8]) -> Lanes {
        let (low, high) = short_halves(bytes);
        Lanes(word::Word::of(low, high))
    }

    /// The first sixteen bytes; zeros after fewer.
    #[inline]
    pub(crate) fn front(bytes: &[u8]) -> Lanes {
        match bytes.first_chunk() {
            Some(chunk) => Lanes::load(chunk),
            None => Lanes::load_short(bytes),
        }
    }

    #[inline]
    pub(crate) fn equal(self, byte: u8) -> Marks {
        Marks(self.0.equals(word::Word::splat(byte)))
    }

    /// From `first` to `last`, both included.
    #[inline]
    pub(crate) fn within(self, first: u8, last: u8) -> Marks {
        Marks(self.0.minus(word::Word::splat(first)).at_most(word::Word::splat(last.wrapping_sub(first))))
    }

    /// At most this.
    #[inline]
    pub(crate) fn at_most(self, last: u8) -> Marks {
        Marks(self.0.at_most(word::Word::splat(last)))
    }

    /// Letters of either case: the bit that tells them apart is set first.
    #[inline]
    pub(crate) fn letters(self) -> Marks {
        Lanes(self.0.or(word::Word::splat(0x20))).within(b'a', b'z')
    }

    /// From 0x80.
    #[inline]
    pub(crate) fn not_ascii(self) -> Marks {
        Marks(self.0)
    }
}

impl Marks {
    /// One bit per byte, the first byte's lowest.
    #[inline]
    pub(crate) fn bits(self) -> u32 {
        self.0.tops()
    }

    /// One bit per byte for which it does not hold.
    #[inline]
    pub(crate) fn missing_bits(self) -> u32 {
        self.0.tops() ^ 0xffff
    }
}

impl std::ops::BitOr for Marks {
    type Output = Marks;
    #[inline]
    fn bitor(self, other: Marks) -> Marks {
        Marks(self.0.or(other.0))
    }
}

impl std::ops::BitAnd for Marks {
    type Output = Marks;
    #[inline]
    fn bitand(self, other: Marks) -> Marks {
        Marks(self.0.and(other.0))
    }
}

/// Two loads that overlap, instead of a loop. Not inlined: in every place that looks at bytes it would cost more by what it
/// pushes out of the instruction cache than the call does.
#[inline(never)]
fn short_halves(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let shift = 8 * (16 - bytes.len().min(16));
        let last = u64::from_le_bytes(*last).checked_shr(u32::try_from(shift).unwrap_or(64)).unwrap_or(0);
        return (u64::from_le_bytes(*first), last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last)) << (8 * (bytes.len() - 4));
        return (u64::from(u32::from_le_bytes(*first)) | last, 0);
    }
    (bytes.iter().rev().fold(0_u64, |packed, byte| (packed << 8) | u64::from(*byte)), 0)
}

/// How many bytes stand before the first that `marked` marks; all of them when it marks none.
#[inline]
pub(crate) fn bytes_before(bytes: &[u8], marked: impl Fn(Lanes) -> u32) -> usize {
    let Some(last) = bytes.last_chunk::<LANES>() else {
        let bits = marked(Lanes::load_short(bytes)) | (1 << bytes.len());
        return bits.trailing_zeros() as usize;
    };
    let mut at = 0_usize;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<LANES>() {
        let bits = marked(Lanes::load(chunk));
        if bits != 0 {
            return at + bits.trailing_zeros() as usize;
        }
        at += LANES;
        rest = after;
    }
    // The rest together with what stands before it, where nothing is marked.
    let bits = marked(Lanes::load(last));
    if bits == 0 { bytes.len() } else { bytes.len() - LANES + bits.trailing_zeros() as usize }
}

/// Whether `marked` marks none of the bytes.
#[inline]
pub(crate) fn none_is(bytes: &[u8], marked: impl Fn(Lanes) -> u32) -> bool {
    bytes_before(bytes, marked) == bytes.len()
}

/// The bytes as text, as [`std::str::from_utf8`] reads them, which takes several times as long for what is nearly always
/// ASCII.
#[inline]
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> {
    if none_is(bytes, |lanes| lanes.not_ascii().bits()) {
        // SAFETY: every byte is below 0x80, and such bytes are UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    /// One bit for each byte for which it holds, counted out.
    fn naive_bits(bytes: &[u8], holds: impl Fn(u8) -> bool) -> u32 {
        bytes.iter().enumerate().fold(0, |bits, (at, byte)| bits | (u32::from(holds(*byte)) << at))
    }

    fn words(bytes: &[u8; 16]) -> (word::Word, portable::Word) {
        let (low, high) =
            (u64::from_le_bytes(bytes[..8].try_into().unwrap()), u64::from_le_bytes(bytes[8..].try_into().unwrap()));
        (word::Word::of(low, high), portable::Word::of(low, high))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_byte_is_compared_on_its_own(bytes: [u8; 16], first: u8, last: u8) {
            let lanes = Lanes::load(&bytes);
            prop_assert_eq!(lanes.equal(first).bits(), naive_bits(&bytes, |byte| byte == first));
            prop_assert_eq!(lanes.at_most(last).bits(), naive_bits(&bytes, |byte| byte <= last));
            prop_assert_eq!(lanes.at_most(last).missing_bits(), naive_bits(&bytes, |byte| byte > last));
            prop_assert_eq!(lanes.letters().bits(), naive_bits(&bytes, |byte| byte.is_ascii_alphabetic()));
            prop_assert_eq!(lanes.not_ascii().bits(), naive_bits(&bytes, |byte| !byte.is_ascii()));
            if first <= last {
                prop_assert_eq!(lanes.within(first, last).bits(), naive_bits(&bytes, |byte| (first..=last).contains(&byte)));
            }
            let both = (lanes.equal(first) | lanes.at_most(last)) & lanes.letters();
            prop_assert_eq!(
                both.bits(), naive_bits(&bytes, |byte| (byte == first || byte <= last) && byte.is_ascii_alphabetic())
            );
        }

        #[test]
        fn the_portable_word_says_the_same(bytes: [u8; 16], others: [u8; 16], byte: u8) {
            let ((one, portable_one), (other, portable_other)) = (words(&bytes), words(&others));
            prop_assert_eq!(one.tops(), portable_one.tops());
            prop_assert_eq!(one.equals(other).tops(), portable_one.equals(portable_other).tops());
            prop_assert_eq!(one.at_most(other).tops(), portable_one.at_most(portable_other).tops());
            for bit in 0..8 {
                // Bit by bit, since `tops` shows no more of a byte than one.
                let (shift, portable_shift) = (word::Word::splat(1 << bit), portable::Word::splat(1 << bit));
                let (found, portable) = (one.minus(other), portable_one.minus(portable_other));
                prop_assert_eq!(
                    found.and(shift).equals(shift).tops(), portable.and(portable_shift).equals(portable_shift).tops()
                );
                let (found, portable) = (one.or(other), portable_one.or(portable_other));
                prop_assert_eq!(
                    found.and(shift).equals(shift).tops(), portable.and(portable_shift).equals(portable_shift).tops()
                );
            }
            prop_assert_eq!(
                one.equals(word::Word::splat(byte)).tops(), portable_one.equals(portable::Word::splat(byte)).tops()
            );
        }

        #[test]
        fn text_is_read_as_by_the_standard_library(bytes: Vec<u8>, text: String) {
            prop_assert_eq!(text_of(&bytes), std::str::from_utf8(&bytes));
            prop_assert_eq!(text_of(text.as_bytes()), Ok(&*text));
        }
    }

    /// Every length around the borders of a step, and the marked byte at each place.
    #[test]
    fn the_first_marked_byte_is_found_wherever_it_stands() {
        for length in 0..=50 {
            let mut bytes = vec![b'a'; length];
            let before = |bytes: &[u8]| bytes_before(bytes, |lanes| lanes.equal(0).bits() | lanes.equal(b'"').bits());
            assert_eq!(before(&bytes), length);
            assert!(none_is(&bytes, |lanes| lanes.at_most(0x20).bits()));
            for at in 0..length {
                for marked in [0, b'"'] {
                    bytes[at] = marked;
                    assert_eq!(before(&bytes), at);
                    bytes[length - 1] = marked; // a later one changes nothing
                    assert_eq!(before(&bytes), at);
                    bytes[length - 1] = b'a';
                }
                bytes[at] = 0xff;
                assert!(text_of(&bytes).is_err(), "{length} {at}");
                bytes[at] = b'a';
                assert_eq!(text_of(&bytes).unwrap().len(), length);
            }
        }
    }
}
