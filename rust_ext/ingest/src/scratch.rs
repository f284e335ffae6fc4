//! Space for the strings of one hit that cannot be borrowed from its request: unescaped JSON, decoded percent signs,
//! lower-cased hostnames.
//!
//! A bump allocator over a buffer that its owner keeps from hit to hit: each string takes the front of what is left, and all
//! of it is free again when the hit is done. Nothing is ever allocated here; when the space is used up, `write` says so.
//! Every use turns input into something no longer than the input, and the owner provides [`SPACE_PER_INPUT_BYTE`] times
//! the input, so it does not run out; a string that would not fit counts as absent, never as a panic.

use crate::lanes::{none_is, text_of};

/// How much space a hit needs per byte of its body and headers. A JSON escape takes at least as many bytes as the
/// character it stands for, and so does a percent sign; a byte of a nested JSON string may be unescaped twice (once as the string,
/// once as its content) and copied once more out of a URL.
pub const SPACE_PER_INPUT_BYTE: usize = 4;

/// Space on top, for the few strings that come from short headers.
pub const SPACE_EXTRA_BYTES: usize = 4_096;

/// What is left of the space.
#[derive(Debug)]
pub struct Scratch<'a> {
    free: &'a mut [u8],
}

impl<'a> Scratch<'a> {
    /// All of `space`.
    #[must_use]
    pub fn new(space: &'a mut [u8]) -> Self {
        Scratch { free: space }
    }

    /// Lets `fill` write at the front of what is left; it returns how many bytes it wrote, or `None` to take nothing.
    /// `None` too when the bytes are not UTF-8; their space is then lost until the hit is done.
    pub fn write(&mut self, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<&'a str> {
        let written = fill(self.free)?;
        if written > self.free.len() {
            return None;
        }
        let (taken, rest) = std::mem::take(&mut self.free).split_at_mut(written);
        self.free = rest;
        text_of(taken).ok()
    }

    /// Several strings as one.
    pub fn concat(&mut self, parts: &[&str]) -> Option<&'a str> {
        self.write(|space| {
            let mut used = 0_usize;
            for part in parts {
                let end = used.checked_add(part.len())?;
                space.get_mut(used..end)?.copy_from_slice(part.as_bytes());
                used = end;
            }
            Some(used)
        })
    }

    /// The text with ASCII letters in lower case; borrowed as it is when it has no upper-case ones.
    pub fn lower(&mut self, text: &'a str) -> &'a str {
        if none_is(text.as_bytes(), |lanes| lanes.within(b'A', b'Z').bits()) {
            return text;
        }
        self.copy_with(text, <[u8]>::make_ascii_lowercase)
    }

    /// The text with ASCII letters in upper case; borrowed as it is when it has no lower-case ones.
    pub fn upper(&mut self, text: &'a str) -> &'a str {
        if none_is(text.as_bytes(), |lanes| lanes.within(b'a', b'z').bits()) {
            return text;
        }
        self.copy_with(text, <[u8]>::make_ascii_uppercase)
    }

    fn copy_with(&mut self, text: &str, change: impl FnOnce(&mut [u8])) -> &'a str {
        self.write(|space| {
            let target = space.get_mut(..text.len())?;
            target.copy_from_slice(text.as_bytes());
            change(target);
            Some(text.len())
        })
        .unwrap_or("")
    }
}

/// Writes bytes one by one into a bounded slice, for the decoders that fill a [`Scratch`].
#[derive(Debug)]
pub struct ByteWriter<'s> {
    space: &'s mut [u8],
    used: usize,
}

impl<'s> ByteWriter<'s> {
    /// Starts at the front of `space`.
    #[must_use]
    pub fn new(space: &'s mut [u8]) -> Self {
        ByteWriter { space, used: 0 }
    }

    /// Appends one byte; `None` when there is no room.
    pub fn push(&mut self, byte: u8) -> Option<()> {
        *self.space.get_mut(self.used)? = byte;
        self.used += 1;
        Some(())
    }

    /// Appends bytes; `None` when there is no room for all of them.
    pub fn extend(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.used.checked_add(bytes.len())?;
        self.space.get_mut(self.used..end)?.copy_from_slice(bytes);
        self.used = end;
        Some(())
    }

    /// Bytes written.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }
}

/// `str::trim`, quick where there is nothing to trim: both ends are visible ASCII, and no character needs to be decoded.
#[inline]
#[must_use]
pub fn trim(text: &str) -> &str {
    let is_visible = |byte: &u8| byte.is_ascii_graphic();
    match text.as_bytes() {
        [] => text,
        [only] if is_visible(only) => text,
        [first, .., last] if is_visible(first) && is_visible(last) => text,
        _ => text.trim(),
    }
}

/// The longest beginning of `text` that has at most `max_bytes` and ends between characters.
#[must_use]
pub fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_follow_each_other_until_the_space_is_used_up() {
        let mut space = [0_u8; 10];
        let mut scratch = Scratch::new(&mut space);
        let first = scratch.concat(&["ab", "", "cd"]);
        let second = scratch.lower("XyZ");
        assert_eq!((first, second), (Some("abcd"), "xyz"));
        assert_eq!(scratch.concat(&["four"]), None);
        assert_eq!(scratch.lower("FOUR"), "");
        assert_eq!(scratch.lower("four"), "four", "nothing to change needs no space");
        assert_eq!(scratch.concat(&["3.."]), Some("3.."));
    }

    #[test]
    fn what_is_not_utf8_is_no_string() {
        let mut space = [0_u8; 4];
        let mut scratch = Scratch::new(&mut space);
        let write = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            move |space: &mut [u8]| {
                let mut writer = ByteWriter::new(space);
                writer.extend(&bytes)?;
                Some(writer.used())
            }
        };
        assert_eq!(scratch.write(write(&[0xff, 0xfe])), None);
        assert_eq!(scratch.write(write(b"abc")), None, "no room");
        assert_eq!(scratch.write(|_| Some(9)), None, "more than there is");
        assert_eq!(scratch.write(write("é".as_bytes())), Some("é"));
    }

    #[test]
    fn cuts_between_characters() {
        for (text, max_bytes, expected) in
            [("abc", 3, "abc"), ("abc", 2, "ab"), ("aé", 2, "a"), ("é", 1, ""), ("日本", 5, "日"), ("", 0, "")]
        {
            assert_eq!(cut(text, max_bytes), expected);
        }
    }
}
