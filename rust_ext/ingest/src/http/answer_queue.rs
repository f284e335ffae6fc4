//! Answers in request order, some of which wait for a group commit.
//!
//! Answers lie one after the other in one buffer; spans say how far each may go:
//!
//! * `Ready`: may leave at once, if nothing before it waits.
//! * `Open`: its records are in the group that is still open; the caller has not named that group yet.
//! * `Waiting(group)`: the group was handed to the writer.
//! * `Failed`: the commit failed. The bytes are not sent; as many 503 answers take their place.
//!
//! Neighbouring hits of the same group and framing share a span, so a pipelined read batch costs one.
use super::response::{Answers, RETRY_AFTER_S, Reply};
use std::collections::VecDeque;

/// A group of records that is committed, or fails, as one. The caller numbers them.
pub type GroupId = u64;

/// A drained queue keeps a buffer of up to this size: some twenty answers, small beside the connection's socket
/// buffers.
const KEPT_CAPACITY_BYTES: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ready,
    Open,
    Waiting(GroupId),
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    fate: Fate,
    reply: Reply,
    bytes: usize,
    answers: usize,
}

/// The queue. Owns every answer until [`AnswerQueue::take_ready`] hands it out.
#[derive(Debug, Default)]
pub(super) struct AnswerQueue {
    bytes: Vec<u8>,
    /// Bytes at the buffer's start that have been handed out.
    taken_bytes: usize,
    spans: VecDeque<Span>,
    answers: usize,
}

impl AnswerQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Answers not handed out yet.
    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// Whether `take_ready` would hand out anything.
    pub(super) fn has_ready(&self) -> bool {
        self.spans.front().is_some_and(|span| matches!(span.fate, Fate::Ready | Fate::Failed))
    }

    /// Whether any answer waits for a commit.
    pub(super) fn has_waiting(&self) -> bool {
        self.spans.iter().any(|span| matches!(span.fate, Fate::Open | Fate::Waiting(_)))
    }

    /// Adds an answer that waits for nothing but its turn.
    pub(super) fn push_ready(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(Reply::CLOSE, |bytes| {
            write(bytes);
            false
        });
    }

    /// Adds an interim (1xx) answer, which is not counted as one.
    pub(super) fn push_interim(&mut self, bytes: &[u8]) {
        self.push_ready(|out| out.extend_from_slice(bytes));
        self.answers -= 1;
        if let Some(span) = self.spans.back_mut() {
            span.answers -= 1;
        }
    }

    /// Adds the answer that `write` appends; it waits for the open group when `write` returns true.
    #[inline]
    pub(super) fn push(&mut self, reply: Reply, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let before_bytes = self.bytes.len();
        let fate = if write(&mut self.bytes) { Fate::Open } else { Fate::Ready };
        let bytes = self.bytes.len().saturating_sub(before_bytes);
        self.answers += 1;
        match self.spans.back_mut() {
            Some(last) if last.fate == fate && (fate == Fate::Ready || last.reply == reply) => {
                last.bytes += bytes;
                last.answers += 1;
            }
            _ => self.spans.push_back(Span { fate, reply, bytes, answers: 1 }),
        }
    }

    /// Names the group that the answers since the last call wait for.
    pub(super) fn mark_group(&mut self, group: GroupId) {
        for span in self.spans.iter_mut().rev() {
            match span.fate {
                Fate::Open => span.fate = Fate::Waiting(group),
                Fate::Waiting(_) => break, // everything before it was marked earlier
                Fate::Ready | Fate::Failed => {}
            }
        }
    }

    /// The group's commit ended.
    pub(super) fn resolve(&mut self, group: GroupId, committed: bool) {
        for span in &mut self.spans {
            if span.fate == Fate::Waiting(group) {
                span.fate = if committed { Fate::Ready } else { Fate::Failed };
            }
        }
    }

    /// Appends to `out` every answer whose turn has come.
    pub(super) fn take_ready(&mut self, now_ms: i64, out: &mut Vec<u8>) {
        while let Some(span) = self.spans.front() {
            let end = self.taken_bytes + span.bytes;
            match span.fate {
                Fate::Ready => out.extend_from_slice(self.bytes.get(self.taken_bytes..end).unwrap_or_default()),
                Fate::Failed => {
                    let answers = Answers::at(now_ms);
                    for _ in 0..span.answers {
                        answers.unavailable(span.reply, RETRY_AFTER_S, out);
                    }
                }
                Fate::Open | Fate::Waiting(_) => break,
            }
            self.taken_bytes = end;
            self.answers -= span.answers;
            self.spans.pop_front();
        }
        if self.spans.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_CAPACITY_BYTES);
            self.taken_bytes = 0;
        } else if self.taken_bytes > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken_bytes);
            self.taken_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn push(queue: &mut AnswerQueue, text: &str, logged: bool) {
        queue.push(Reply::new(1, true, false), |bytes| {
            bytes.extend_from_slice(text.as_bytes());
            logged
        });
    }

    fn take(queue: &mut AnswerQueue) -> String {
        let mut out = Vec::new();
        queue.take_ready(0, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_waiting_answer_holds_back_later_ones() {
        let mut queue = AnswerQueue::default();
        push(&mut queue, "a", false);
        push(&mut queue, "b", true);
        push(&mut queue, "c", false);
        assert_eq!(take(&mut queue), "a");
        queue.mark_group(1);
        push(&mut queue, "d", true);
        queue.mark_group(2);
        queue.resolve(2, true);
        assert_eq!((take(&mut queue).as_str(), queue.answers(), queue.has_waiting()), ("", 3, true));
        queue.resolve(1, true);
        assert_eq!((take(&mut queue).as_str(), queue.answers(), queue.is_empty()), ("bcd", 0, true));
    }

    #[test]
    fn a_failed_group_is_answered_503_in_place() {
        let mut queue = AnswerQueue::default();
        push(&mut queue, "a", true);
        push(&mut queue, "b", true);
        queue.mark_group(7);
        push(&mut queue, "c", true);
        queue.mark_group(8);
        push(&mut queue, "d", false);
        queue.resolve(7, false);
        queue.resolve(8, true);
        let text = take(&mut queue);
        assert_eq!(text.matches("HTTP/1.1 503 ").count(), 2);
        assert!(text.ends_with("try again\ncd") && text.starts_with("HTTP/1.1 503 "), "{text}");
    }

    #[test]
    fn the_buffer_stays_small_while_groups_overlap() {
        let mut queue = AnswerQueue::default();
        for group in 0..10_000 {
            push(&mut queue, &"x".repeat(200), true);
            queue.mark_group(group);
            queue.resolve(group.wrapping_sub(1), true);
            take(&mut queue);
        }
        assert!(queue.bytes.capacity() < 4_096 && queue.answers() == 1, "{}", queue.bytes.capacity());
    }

    #[test]
    fn interim_answers_are_not_counted() {
        let mut queue = AnswerQueue::default();
        queue.push_interim(b"continue");
        assert_eq!((queue.answers(), queue.is_empty()), (0, false));
        push(&mut queue, "a", false);
        assert_eq!(take(&mut queue), "continuea");
    }
}
