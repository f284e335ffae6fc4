//! Referring hosts: known sources and spam, found by walking up the host's parent domains.
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

use super::RulesError;
use super::pack::{Row, SOURCES};
use crate::lanes::{bytes_before, text_of};

/// What a referring source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Medium {
    /// A search engine.
    Search,
    /// A social network, forum or messenger.
    Social,
    /// A video site.
    Video,
    /// Web mail.
    Email,
    /// A shop or marketplace.
    Shopping,
    /// An assistant that answers by a language model.
    AiAssistant,
    /// An audio or podcast service.
    Audio,
    /// A known site of no other medium; a name only.
    Other,
}

impl Medium {
    /// Every medium with its word in the pack.
    const WORDS: [(Medium, &'static str); 8] = [
        (Medium::Search, "search"),
        (Medium::Social, "social"),
        (Medium::Video, "video"),
        (Medium::Email, "email"),
        (Medium::Shopping, "shopping"),
        (Medium::AiAssistant, "ai_assistant"),
        (Medium::Audio, "audio"),
        (Medium::Other, "other"),
    ];

    /// The medium's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Medium::WORDS.iter().find(|(medium, _)| *medium == self).map_or("other", |(_, word)| word)
    }

    fn from_word(word: &str) -> Option<Medium> {
        Medium::WORDS.iter().find(|(_, known)| *known == word).map(|(medium, _)| *medium)
    }
}

/// Longest host name (RFC 1035 section 2.3.4), with the dot.
const HOST_MAX_BYTES: usize = 254;

/// What stands before and after the first dot.
fn split_at_dot(domain: &str) -> Option<(&str, &str)> {
    let dot = bytes_before(domain.as_bytes(), |lanes| lanes.equal(b'.').bits());
    Some((domain.get(..dot)?, domain.get(dot + 1..)?))
}

/// Calls `visit` with the host, then each parent domain, lower-case, until one answers.
fn walk_up<T>(host: &str, mut visit: impl FnMut(&str) -> Option<T>) -> Option<T> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut lower = [0_u8; HOST_MAX_BYTES];
    let lower = lower.get_mut(..host.len())?;
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    let mut rest = text_of(lower).ok()?;
    loop {
        if let Some(answer) = visit(rest) {
            return Some(answer);
        }
        rest = split_at_dot(rest)?.1;
    }
}

/// Known sources.
#[derive(Debug, Default)]
pub(super) struct SourceTable {
    names: Vec<(Box<str>, Medium)>,
    /// `bing.com` → index in `names`.
    hosts: HashMap<Box<str>, usize, RandomState>,
    /// `google` of `google.*` → index in `names`.
    any_top_level: HashMap<Box<str>, usize, RandomState>,
}

impl SourceTable {
    pub(super) fn from_rows(rows: Vec<Row<'_>>) -> Result<SourceTable, RulesError> {
        let mut table = SourceTable::default();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for row in rows {
            let (host, name) = (row.need(0)?, row.need(1)?);
            let medium = Medium::from_word(row.need(2)?).ok_or(RulesError::Section { tag: SOURCES })?;
            let index = match known.get(name) {
                Some(&index) if table.names.get(index).is_some_and(|(_, of_name)| *of_name == medium) => index,
                _ => {
                    table.names.push((name.into(), medium));
                    known.insert(name, table.names.len() - 1);
                    table.names.len() - 1
                }
            };
            match host.strip_suffix(".*") {
                Some(label) => table.any_top_level.insert(label.into(), index),
                None => table.hosts.insert(host.into(), index),
            };
        }
        Ok(table)
    }

    pub(super) fn get(&self, host: &str) -> Option<(&str, Medium)> {
        let index = walk_up(host, |domain| {
            if let Some(index) = self.hosts.get(domain) {
                return Some(*index);
            }
            let (label, top_level) = split_at_dot(domain)?;
            if !is_top_level(top_level) {
                return None;
            }
            self.any_top_level.get(label).copied()
        })?;
        self.names.get(index).map(|(name, medium)| (&**name, *medium))
    }
}

/// `de`, `com`, `co.uk`, `com.au`: one label, or a country's under a short second level. Not `evil.com`.
fn is_top_level(domain: &str) -> bool {
    match split_at_dot(domain) {
        None => !domain.is_empty(),
        Some((second, country)) => {
            country.len() == 2 && matches!(second, "co" | "com" | "org" | "net" | "ne" | "or" | "gov" | "edu" | "ac")
        }
    }
}

/// Referrer spam.
#[derive(Debug, Default)]
pub(super) struct SpamTable {
    hosts: HashSet<Box<str>, RandomState>,
}

impl SpamTable {
    pub(super) fn from_rows(rows: Vec<Row<'_>>) -> Result<SpamTable, RulesError> {
        let hosts = rows.iter().map(|row| row.need(0).map(Box::from)).collect::<Result<_, _>>()?;
        Ok(SpamTable { hosts })
    }

    pub(super) fn contains(&self, host: &str) -> bool {
        !host.is_empty()
            && !self.hosts.is_empty()
            && walk_up(host, |domain| self.hosts.contains(domain).then_some(())).is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use super::super::pack::Pack;
    use super::super::pack::SPAM;
    use super::super::pack::tests::{write_pack, write_rows};
    use super::*;

    fn sources() -> SourceTable {
        let rows = write_rows(
            3,
            &[
                &[Some("google.*"), Some("Google"), Some("search")],
                &[Some("mail.google.com"), Some("Gmail"), Some("email")],
                &[Some("t.co"), Some("Twitter"), Some("social")],
            ],
        );
        let bytes = write_pack(&[(SOURCES, rows)]);
        SourceTable::from_rows(Pack::parse(&bytes).unwrap().rows(SOURCES).unwrap()).unwrap()
    }

    #[test]
    fn finds_hosts_subdomains_and_any_top_level() {
        let table = sources();
        for host in ["google.com", "www.google.co.uk", "GOOGLE.de.", "google.com.au", "images.google.fr"] {
            assert_eq!(table.get(host), Some(("Google", Medium::Search)), "{host}");
        }
        assert_eq!(table.get("mail.google.com"), Some(("Gmail", Medium::Email)));
        assert_eq!(table.get("t.co"), Some(("Twitter", Medium::Social)));
        let longest = "a".repeat(400);
        for host in
            ["notgoogle.com", "google.evil.com", "google.com.evil.org", "x.co", "co", "google", "", ".", &longest]
        {
            assert_eq!(table.get(host), None, "{host}");
        }
    }

    #[test]
    fn an_unknown_medium_is_refused() {
        let bytes = write_pack(&[(SOURCES, write_rows(3, &[&[Some("a.b"), Some("A"), Some("smell")]]))]);
        assert!(SourceTable::from_rows(Pack::parse(&bytes).unwrap().rows(SOURCES).unwrap()).is_err());
    }

    #[test]
    fn spam_covers_subdomains_only() {
        let bytes = write_pack(&[(SPAM, write_rows(1, &[&[Some("spam.example")]]))]);
        let table = SpamTable::from_rows(Pack::parse(&bytes).unwrap().rows(SPAM).unwrap()).unwrap();
        assert!(table.contains("spam.example") && table.contains("WWW.Spam.Example."));
        assert!(!table.contains("notspam.example") && !table.contains("example") && !table.contains(""));
    }
}
