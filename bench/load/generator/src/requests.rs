//! Ready-made requests, sent in turn, each with the number of its hit in it.
//!
//! The file holds each request after its length in nine digits. Where a body says `"l":"<15 hex digits>"`, the page
//! load's id, the generator writes an id that it makes of the hit's number, so that rows can be held against hits.

use std::io;

use memchr::memmem;

const LENGTH_DIGITS: usize = 9;
const MARK: &[u8] = b"\"l\":\"";
const ID_DIGITS: usize = 15;
const ID_BITS: u32 = 60;

/// Odd, so multiplying by it modulo 2^60 can be undone: ids look as random as real ones, and are as hard to compress.
pub const SCRAMBLE: u64 = 0x9E37_79B9_7F4A_7C15 & ((1 << ID_BITS) - 1);

/// The requests of a file.
pub struct Requests {
    data: Vec<u8>,
    places: Vec<Place>,
}

struct Place {
    start: usize,
    end: usize,
    /// Where the id's digits begin within the request.
    id_at: Option<usize>,
}

impl Requests {
    /// Split a file's content. An error says at which byte it is no list of requests.
    pub fn new(data: Vec<u8>) -> io::Result<Self> {
        let mut places = Vec::new();
        let mut at = 0;
        while at < data.len() {
            let length = data
                .get(at..at + LENGTH_DIGITS)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| digits.parse::<usize>().ok());
            let start = at + LENGTH_DIGITS;
            let Some(request) = length.and_then(|length| data.get(start..start + length)) else {
                return Err(io::Error::other(format!("no request begins at byte {at} of the file")));
            };
            let id_at = memmem::find(request, MARK).map(|found| found + MARK.len()).filter(|&id_at| {
                request.get(id_at..id_at + ID_DIGITS).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
                    && request.get(id_at + ID_DIGITS) == Some(&b'"')
            });
            at = start + request.len();
            places.push(Place { start, end: at, id_at });
        }
        if places.is_empty() {
            return Err(io::Error::other("the file holds no request"));
        }
        Ok(Self { data, places })
    }

    /// Put the request of hit `number` into `out`, whose content is replaced.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        out.clear();
        let Some(place) = self.places.get((number % self.places.len() as u64) as usize) else { return };
        out.extend_from_slice(self.data.get(place.start..place.end).unwrap_or_default());
        let Some(digits) = place.id_at.and_then(|id_at| out.get_mut(id_at..id_at + ID_DIGITS)) else { return };
        let id = number.wrapping_mul(SCRAMBLE);
        for (position, digit) in digits.iter_mut().enumerate() {
            let nibble = (id >> (4 * (ID_DIGITS - 1 - position))) & 0xF;
            *digit = b"0123456789abcdef".get(nibble as usize).copied().unwrap_or(b'0');
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_in_turn_and_carry_their_number() {
        let first = br#"POST / {"l":"800000000000000","q":1}"#;
        let second = b"GET /";
        let mut file = format!("{:09}", first.len()).into_bytes();
        file.extend_from_slice(first);
        file.extend_from_slice(format!("{:09}", second.len()).as_bytes());
        file.extend_from_slice(second);
        let requests = Requests::new(file).expect("a good file");
        let mut out = Vec::new();
        requests.write(2, &mut out);
        let id = (2u64.wrapping_mul(SCRAMBLE)) & ((1 << ID_BITS) - 1);
        assert_eq!(out, format!(r#"POST / {{"l":"{id:015x}","q":1}}"#).into_bytes());
        requests.write(3, &mut out);
        assert_eq!(out, second);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        assert!(Requests::new(b"000000009short".to_vec()).is_err());
        assert!(Requests::new(Vec::new()).is_err());
    }
}
