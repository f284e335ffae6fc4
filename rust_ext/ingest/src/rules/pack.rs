//! The packed rules file: reading and checking. Little-endian. Written by `rust_ext/pack_rules.py`, which repeats this table.
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 8 | magic `FFRULES\x01` |
//! | 8 | 2 | version = 1 |
//! | 10 | 2 | number of sections |
//! | 12 | 4 | CRC32C of every byte from 16 on |
//! | 16 | 12 × n | directory: tag 4 bytes ASCII, u32 offset from the file's start, u32 bytes |
//! | … | … | the sections |
//!
//! A **row section** is u16 fields per row, u16 zero, u32 rows, then row by row, field by field: u16 bytes (0xFFFF = absent), UTF-8.
//!
//! | tag | content |
//! |---|---|
//! | `info` | JSON: the sets, their versions, licences and attributions |
//! | `uapb` | rows: regex, family, major, minor, patch, patch minor |
//! | `uapo` | rows: regex, family, major, minor, patch, patch minor |
//! | `uapd` | rows: regex, flag (`i` or absent), family, brand, model |
//! | `isbt` | rows: regex, endings that must not stand before it, beginnings that must not follow it (each `\n`-separated, or absent) |
//! | `crwl` | rows: regex |
//! | `srcs` | rows: host (`bing.com`, or `google.*` for any top-level domain), name, medium |
//! | `spam` | rows: host |
//! | `cty4`, `cty6` | see `country`; absent when built without the country set |
use std::fmt;
use std::path::PathBuf;

const MAGIC: [u8; 8] = *b"FFRULES\x01";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
const DIRECTORY_ENTRY_BYTES: usize = 12;
const ROWS_HEADER_BYTES: usize = 8;
const FIELD_ABSENT: u16 = 0xFFFF;

/// A section's name.
pub type Tag = [u8; 4];
pub(super) const INFO: Tag = *b"info";
pub(super) const UAP_BROWSERS: Tag = *b"uapb";
pub(super) const UAP_SYSTEMS: Tag = *b"uapo";
pub(super) const UAP_DEVICES: Tag = *b"uapd";
pub(super) const ISBOT: Tag = *b"isbt";
pub(super) const CRAWLERS: Tag = *b"crwl";
pub(super) const SOURCES: Tag = *b"srcs";
pub(super) const SPAM: Tag = *b"spam";
pub(super) const COUNTRY_V4: Tag = *b"cty4";
pub(super) const COUNTRY_V6: Tag = *b"cty6";

/// Why a pack cannot be used. None is worth a retry: build the pack again (`make rules`).
#[derive(Debug)]
#[non_exhaustive]
pub enum RulesError {
    /// The file cannot be read.
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not begin like a pack.
    Magic,
    /// A pack of another version.
    Version {
        /// The file's.
        found: u16,
    },
    /// Cut short, or a bit flipped.
    Checksum,
    /// A needed section is missing, or its content breaks the byte table.
    Section {
        /// Which one.
        tag: Tag,
    },
    /// A regex of the pack does not compile.
    Regex {
        /// Which section.
        tag: Tag,
        /// The regex.
        pattern: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for RulesError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RulesError::Io { path, source } => {
                write!(out, "rules pack {}: {source}", path.display())
            }
            RulesError::Magic => out.write_str("rules pack: this is not a rules pack"),
            RulesError::Version { found } => {
                write!(out, "rules pack: version {found}, this build reads version {VERSION}")
            }
            RulesError::Checksum => out.write_str("rules pack: damaged (checksum differs)"),
            RulesError::Section { tag } => write!(out, "rules pack: section {} is missing or malformed", tag_text(tag)),
            RulesError::Regex { tag, pattern, reason } => {
                write!(out, "rules pack: section {}: regex {pattern:?}: {reason}", tag_text(tag))
            }
        }
    }
}

impl std::error::Error for RulesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RulesError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn tag_text(tag: &Tag) -> String {
    String::from_utf8_lossy(tag).into_owned()
}

/// A checked pack, borrowed.
pub(super) struct Pack<'a> {
    sections: Vec<(Tag, &'a [u8])>,
}

/// One row of a row section.
pub(crate) struct Row<'a> {
    tag: Tag,
    fields: Vec<Option<&'a str>>,
}

impl<'a> Pack<'a> {
    /// Checks magic, version, checksum and the directory.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Pack<'a>, RulesError> {
        if bytes.get(..MAGIC.len()) != Some(MAGIC.as_slice()) {
            return Err(RulesError::Magic);
        }
        let mut header = Cursor { rest: bytes.get(MAGIC.len()..).unwrap_or_default() };
        let version = header.u16().ok_or(RulesError::Checksum)?;
        if version != VERSION {
            return Err(RulesError::Version { found: version });
        }
        let section_count = header.u16().ok_or(RulesError::Checksum)?;
        let checksum = header.u32().ok_or(RulesError::Checksum)?;
        if crc32c::crc32c(bytes.get(HEADER_BYTES..).unwrap_or_default()) != checksum {
            return Err(RulesError::Checksum);
        }
        let directory_bytes = usize::from(section_count) * DIRECTORY_ENTRY_BYTES;
        let directory = bytes.get(HEADER_BYTES..HEADER_BYTES + directory_bytes).ok_or(RulesError::Checksum)?;
        let mut sections = Vec::with_capacity(usize::from(section_count));
        let mut cursor = Cursor { rest: directory };
        while let Some(tag) = cursor.take(4).and_then(|tag| Tag::try_from(tag).ok()) {
            let section = (|| {
                let offset = usize::try_from(cursor.u32()?).ok()?;
                let len = usize::try_from(cursor.u32()?).ok()?;
                bytes.get(offset..offset.checked_add(len)?)
            })();
            sections.push((tag, section.ok_or(RulesError::Section { tag })?));
        }
        Ok(Pack { sections })
    }

    /// A section's bytes, if it is there.
    pub(super) fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        self.sections.iter().find(|(name, _)| *name == tag).map(|(_, bytes)| *bytes)
    }

    /// A section that is text.
    pub(super) fn text(&self, tag: Tag) -> Result<&'a str, RulesError> {
        let bytes = self.bytes(tag).ok_or(RulesError::Section { tag })?;
        std::str::from_utf8(bytes).map_err(|_| RulesError::Section { tag })
    }

    /// A row section's rows.
    pub(super) fn rows(&self, tag: Tag) -> Result<Vec<Row<'a>>, RulesError> {
        let bytes = self.bytes(tag).ok_or(RulesError::Section { tag })?;
        parse_rows(tag, bytes).ok_or(RulesError::Section { tag })
    }
}

fn parse_rows(tag: Tag, bytes: &[u8]) -> Option<Vec<Row<'_>>> {
    let mut cursor = Cursor { rest: bytes };
    let field_count = cursor.u16()?;
    cursor.u16()?;
    let row_count = usize::try_from(cursor.u32()?).ok()?;
    // Each field takes two bytes at least: a wrong count cannot make us reserve more than the section's size.
    let most = bytes.len().saturating_sub(ROWS_HEADER_BYTES) / (2 * usize::from(field_count.max(1)));
    if row_count > most {
        return None;
    }
    let mut rows = Vec::with_capacity(row_count);
    for _ in 0..row_count {
        let mut fields = Vec::with_capacity(usize::from(field_count));
        for _ in 0..field_count {
            fields.push(match cursor.u16()? {
                FIELD_ABSENT => None,
                len => Some(std::str::from_utf8(cursor.take(usize::from(len))?).ok()?),
            });
        }
        rows.push(Row { tag, fields });
    }
    cursor.rest.is_empty().then_some(rows)
}

impl<'a> Row<'a> {
    /// A field that may be absent.
    pub(crate) fn get(&self, field: usize) -> Option<&'a str> {
        self.fields.get(field).copied().flatten()
    }

    /// A field that must be there.
    pub(crate) fn need(&self, field: usize) -> Result<&'a str, RulesError> {
        self.get(field).ok_or(RulesError::Section { tag: self.tag })
    }
}

/// Reads forward, never past the end.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use super::*;

    /// The packer's twin, for tests that need small packs.
    pub(crate) fn write_pack(sections: &[(Tag, Vec<u8>)]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut directory = Vec::new();
        let start = HEADER_BYTES + sections.len() * DIRECTORY_ENTRY_BYTES;
        for (tag, bytes) in sections {
            directory.extend_from_slice(tag);
            directory.extend_from_slice(&u32::try_from(start + body.len()).unwrap().to_le_bytes());
            directory.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
            body.extend_from_slice(bytes);
        }
        directory.extend_from_slice(&body);
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u16::try_from(sections.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&directory).to_le_bytes());
        out.extend_from_slice(&directory);
        out
    }

    pub(crate) fn write_rows(fields: u16, rows: &[&[Option<&str>]]) -> Vec<u8> {
        let mut out = fields.to_le_bytes().to_vec();
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&u32::try_from(rows.len()).unwrap().to_le_bytes());
        for field in rows.iter().flat_map(|row| row.iter()) {
            match field {
                None => out.extend_from_slice(&FIELD_ABSENT.to_le_bytes()),
                Some(text) => {
                    out.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
        out
    }

    fn small() -> Vec<u8> {
        write_pack(&[(INFO, b"{}".to_vec()), (SPAM, write_rows(1, &[&[Some("spam.example")], &[None]]))])
    }

    #[test]
    fn reads_what_was_written() {
        let bytes = small();
        let pack = Pack::parse(&bytes).unwrap();
        assert_eq!(pack.text(INFO).unwrap(), "{}");
        let rows = pack.rows(SPAM).unwrap();
        assert_eq!(rows[0].need(0).unwrap(), "spam.example");
        assert!(rows[1].get(0).is_none() && matches!(rows[1].need(0), Err(RulesError::Section { tag: SPAM })));
        assert!(matches!(pack.rows(SOURCES), Err(RulesError::Section { tag: SOURCES })));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_an_error() {
        let bytes = small();
        for len in 0..bytes.len() {
            assert!(Pack::parse(&bytes[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The section count may shrink unnoticed by the checksum; what is then missing is reported by name.
            let result = Pack::parse(&damaged).and_then(|pack| pack.rows(SPAM).map(|_| ()));
            assert!(result.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let mut other = small();
        other[8] = 9;
        assert_eq!(Pack::parse(&other).err().unwrap().to_string(), "rules pack: version 9, this build reads version 1");
        assert_eq!(Pack::parse(b"hello").err().unwrap().to_string(), "rules pack: this is not a rules pack");
        let missing = RulesError::Section { tag: INFO };
        assert_eq!(missing.to_string(), "rules pack: section info is missing or malformed");
    }

    #[test]
    fn a_wrong_row_count_is_refused() {
        let mut rows = write_rows(1, &[&[Some("a")]]);
        rows[4] = 2;
        let bytes = write_pack(&[(SPAM, rows)]);
        assert!(Pack::parse(&bytes).unwrap().rows(SPAM).is_err());
    }
}
