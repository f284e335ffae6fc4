//! The head of an answer: how long it is, and what became of the hit.

use memchr::memmem;

/// What became of a hit. The numbers stand in the file of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It never left: nothing of it reached the server.
    Unsent = 0,
    /// A 2xx answer that does not say otherwise: it must be stored.
    Accepted = 1,
    /// A 2xx answer with a reason why it is no row.
    Dropped = 2,
    /// 503: it must not be stored.
    Refused = 3,
    /// The connection or the patience ended before the answer: it may be stored.
    Unanswered = 4,
    /// Any other answer.
    Failed = 5,
}

/// How many outcomes there are.
pub const OUTCOMES: usize = 6;

/// An answer that has arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// With head and body, in bytes.
    pub length: usize,
    /// What it says.
    pub outcome: Outcome,
    /// The server takes no more on this connection.
    pub closes: bool,
}

/// The answer at the beginning of `input`; None while it is not whole.
pub fn parse(input: &[u8]) -> Option<Answer> {
    let head_length = memmem::find(input, b"\r\n\r\n")? + 4;
    let head = input.get(..head_length)?;
    let mut length = 0;
    let (mut closes, mut dropped) = (false, false);
    for line in head.split(|&byte| byte == b'\n').skip(1) {
        if let Some(value) = field(line, b"content-length:") {
            length = value
                .iter()
                .filter(|byte| byte.is_ascii_digit())
                .fold(0, |sum, &digit| sum * 10 + usize::from(digit - b'0'));
        } else if let Some(value) = field(line, b"connection:") {
            closes = value.to_ascii_lowercase().windows(5).any(|word| word == b"close");
        } else if field(line, b"x-footfall-dropped:").is_some() {
            dropped = true;
        }
    }
    let outcome = match head.get(9..12) {
        Some([b'2', _, _]) if dropped => Outcome::Dropped,
        Some([b'2', _, _]) => Outcome::Accepted,
        Some(b"503") => Outcome::Refused,
        _ => Outcome::Failed,
    };
    (input.len() >= head_length + length).then_some(Answer { length: head_length + length, outcome, closes })
}

/// The value when this is the line of the field `name` (lower case, with its colon).
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name))?;
    line.get(name.len()..)
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_what_became_of_the_hit() {
        let accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(parse(accepted), Some(Answer { length: accepted.len(), outcome: Outcome::Accepted, closes: false }));
        assert_eq!(parse(&accepted[..accepted.len() - 1]), None);
        let dropped = b"HTTP/1.1 202 Accepted\r\nX-Footfall-Dropped: bot\r\nConnection: Close\r\n\r\n";
        let answer = parse(dropped).expect("whole");
        assert_eq!((answer.outcome, answer.closes), (Outcome::Dropped, true));
        assert_eq!(parse(b"HTTP/1.1 503 No\r\n\r\n").map(|answer| answer.outcome), Some(Outcome::Refused));
        assert_eq!(parse(b"HTTP/1.1 400 No\r\n\r\n").map(|answer| answer.outcome), Some(Outcome::Failed));
    }
}
