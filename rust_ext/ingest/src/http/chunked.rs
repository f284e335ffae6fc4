//! The chunked transfer coding (RFC 9112 §7.1), decoded as it arrives and read as strictly as it is written there.
//!
//! ```text
//! chunk = 1*16 HEXDIG [ ";" extension ] CRLF data CRLF      last = the chunk of size 0, without data
//! body  = *chunk last *( name ":" value CRLF ) CRLF
//! ```
//!
//! Sizes without digits, with signs, blanks or more than 16 digits, bare CR or LF anywhere, a wrong byte after the
//! data, and over-long extensions or trailers end the connection: each of them has been read differently by two servers
//! in a row. Extensions and trailers are checked, counted and dropped.
use super::rejection::Rejection;
use super::response::is_token_byte;

/// Digits of a chunk size: 64 bits of hexadecimal.
const MAX_SIZE_DIGITS: u8 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    EndLineFeed,
    End,
}

/// Where the decoder is in one body.
#[derive(Debug, Clone)]
pub(super) struct ChunkedDecoder {
    state: State,
    /// Of the chunk whose size or data is being read.
    remaining_bytes: u64,
    /// Extension and trailer bytes so far.
    extra_bytes: usize,
}

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// All input is used up.
    More,
    /// A piece of the body.
    Data(&'a [u8]),
    /// The body is complete.
    End,
}

impl ChunkedDecoder {
    pub(super) fn new() -> Self {
        ChunkedDecoder { state: State::Size { digits: 0 }, remaining_bytes: 0, extra_bytes: 0 }
    }

    /// Reads up to the next piece of the body, of at most `max_data_bytes`. Returns the input bytes used and the
    /// finding.
    ///
    /// # Errors
    /// The body is malformed. The decoder must not be used afterwards.
    pub(super) fn step<'a>(
        &mut self,
        input: &'a [u8],
        max_data_bytes: usize,
        max_extra_bytes: usize,
    ) -> Result<(usize, Step<'a>), Rejection> {
        let mut used = 0;
        loop {
            if self.state == State::End {
                return Ok((used, Step::End));
            }
            let rest = input.get(used..).unwrap_or_default();
            let Some(&byte) = rest.first() else { return Ok((used, Step::More)) };
            if self.state == State::Data {
                let wanted = usize::try_from(self.remaining_bytes).unwrap_or(usize::MAX).min(max_data_bytes);
                let data = rest.get(..wanted).unwrap_or(rest);
                self.remaining_bytes -= data.len() as u64;
                if self.remaining_bytes == 0 {
                    self.state = State::DataReturn;
                }
                return Ok((used + data.len(), Step::Data(data)));
            }
            self.state = self.after(byte).ok_or(Rejection::Chunk)?;
            if self.extra_bytes > max_extra_bytes {
                return Err(Rejection::Chunk);
            }
            used += 1;
        }
    }

    /// The state after a byte that is not data; `None` when the byte is wrong there.
    fn after(&mut self, byte: u8) -> Option<State> {
        if matches!(self.state, State::Extension | State::TrailerStart | State::TrailerName | State::TrailerValue) {
            self.extra_bytes += 1;
        }
        match (self.state, byte) {
            (State::Size { digits }, _) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                self.remaining_bytes = self.remaining_bytes << 4 | u64::from(digit);
                Some(State::Size { digits: digits + 1 })
            }
            (State::Size { digits: 1.. }, b';') => Some(State::Extension),
            (State::Size { digits: 1.. } | State::Extension, b'\r') => Some(State::SizeLineFeed),
            (State::Extension, _) if is_text(byte) => Some(State::Extension),
            (State::SizeLineFeed, b'\n') if self.remaining_bytes == 0 => Some(State::TrailerStart),
            (State::SizeLineFeed, b'\n') => Some(State::Data),
            (State::DataReturn, b'\r') => Some(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Some(State::Size { digits: 0 }),
            (State::TrailerStart, b'\r') => Some(State::EndLineFeed),
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => Some(State::TrailerName),
            (State::TrailerName, b':') => Some(State::TrailerValue),
            (State::TrailerValue, b'\r') => Some(State::TrailerLineFeed),
            (State::TrailerValue, _) if is_text(byte) => Some(State::TrailerValue),
            (State::TrailerLineFeed, b'\n') => Some(State::TrailerStart),
            (State::EndLineFeed, b'\n') => Some(State::End),
            _ => None,
        }
    }
}

/// A byte of a field value: visible ASCII, blank, tab, obs-text.
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    /// Decodes the input in pieces of this size: the body and the bytes used, `None` while it is incomplete.
    fn decode(input: &[u8], piece_bytes: usize, max_extra_bytes: usize) -> Result<Option<(Vec<u8>, usize)>, Rejection> {
        let mut decoder = ChunkedDecoder::new();
        let (mut body, mut used) = (Vec::new(), 0);
        for end in (piece_bytes..input.len() + piece_bytes).step_by(piece_bytes) {
            let end = end.min(input.len());
            loop {
                let (step_used, step) = decoder.step(&input[used..end], 3, max_extra_bytes)?;
                used += step_used;
                match step {
                    Step::More => break,
                    Step::Data(data) => body.extend_from_slice(data),
                    Step::End => return Ok(Some((body, used))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn well_formed_bodies() {
        for (input, body, used) in [
            (&b"0\r\n\r\n"[..], &b""[..], 5),
            (b"5\r\nhello\r\n0\r\n\r\nGET", b"hello", 15),
            (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world", 26),
            (b"00000000000005\r\nhello\r\n000\r\n\r\n", b"hello", 30),
            (b"A;name=value;q=\"x y\"\r\n0123456789\r\n0\r\n\r\n", b"0123456789", 39),
            (b"1\r\nx\r\n0\r\nDigest: abc\r\nEmpty:\r\n\r\n", b"x", 32),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", 12),
        ] {
            for piece_bytes in 1..=input.len() {
                assert_eq!(
                    decode(input, piece_bytes, 64),
                    Ok(Some((body.to_vec(), used))),
                    "{}",
                    String::from_utf8_lossy(input)
                );
            }
        }
    }

    #[test]
    fn malformed_bodies() {
        for input in [
            &b"\r\n"[..],
            b";\r\n",
            b"+5\r\nhello\r\n",
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b"5_0\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"5\nhello\n0\n\n",
            b"5\rhello",
            b"5\r\rhello",
            b"5;a\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5;\0\r\nhello\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r\r0\r\n\r\n",
            b"5\r\nhello\r\n\r\n0\r\n\r\n",
            b"00000000000000005\r\nhello\r\n",
            b"10000000000000005\r\nhello\r\n",
            b"g\r\n",
            b"0\r\n folded: x\r\n\r\n",
            b"0\r\nname : x\r\n\r\n",
            b"0\r\nname\r\n\r\n",
            b"0\r\n: x\r\n\r\n",
            b"0\r\na: \0\r\n\r\n",
            b"0\r\na: b\n\r\n",
            b"0\r\n\n",
            b"0\r\n\r\r",
        ] {
            for piece_bytes in 1..=input.len() {
                assert_eq!(decode(input, piece_bytes, 64), Err(Rejection::Chunk), "{}", String::from_utf8_lossy(input));
            }
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded_over_the_whole_body() {
        let body = b"1;abc\r\nx\r\n1;abc\r\nx\r\n0\r\na:b\r\n\r\n";
        assert_eq!(decode(body, 1, 13).map(|done| done.is_some()), Ok(true));
        assert_eq!(decode(body, 1, 12), Err(Rejection::Chunk));
        assert_eq!(decode(b"ffffffffffffffff\r\nx", 1, 0), Ok(None));
    }
}
