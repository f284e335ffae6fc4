//! The rule sets, made at build time into one packed file and shared by all parsers of a process.
//!
//! `rust_ext/pack_rules.py` writes the pack from pinned registry packages; `pack` holds its byte table. `Rules` owns what it reads:
//! after `open` the file is not needed any more. Raising a pin and building again renews the rules.
mod hosts;
mod pack;

use std::path::Path;
use std::sync::Arc;

use crate::agents::{BotRules, UapRules};
use crate::country::CountryTable;
pub use hosts::Medium;
use hosts::{SourceTable, SpamTable};
use pack::Pack;
pub(crate) use pack::Row;
pub use pack::{RulesError, Tag};

/// Everything that is known beforehand: agents, referrers, countries.
pub struct Rules {
    uap: UapRules,
    bots: BotRules,
    country: CountryTable,
    sources: SourceTable,
    spam: SpamTable,
    info_json: String,
}

impl Rules {
    /// Reads and checks a pack.
    ///
    /// # Errors
    /// When the file is missing, or is no pack of this version, or is damaged. Nothing is half loaded.
    pub fn open(path: &Path) -> Result<Arc<Rules>, RulesError> {
        let bytes = std::fs::read(path).map_err(|source| RulesError::Io { path: path.to_owned(), source })?;
        Rules::from_bytes(&bytes)
    }

    /// The same from memory.
    ///
    /// # Errors
    /// When the bytes are no pack of this version, or are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Arc<Rules>, RulesError> {
        let pack = Pack::parse(bytes)?;
        let uap_rows = |tag| pack.rows(tag).map(|rows| (tag, rows));
        Ok(Arc::new(Rules {
            uap: UapRules::from_rows([
                uap_rows(pack::UAP_BROWSERS)?,
                uap_rows(pack::UAP_SYSTEMS)?,
                uap_rows(pack::UAP_DEVICES)?,
            ])?,
            bots: BotRules::from_rows(
                (pack::ISBOT, pack.rows(pack::ISBOT)?),
                (pack::CRAWLERS, pack.rows(pack::CRAWLERS)?),
            )?,
            country: CountryTable::from_sections(pack.bytes(pack::COUNTRY_V4), pack.bytes(pack::COUNTRY_V6))
                .map_err(|_| RulesError::Section { tag: pack::COUNTRY_V4 })?,
            sources: SourceTable::from_rows(pack.rows(pack::SOURCES)?)?,
            spam: SpamTable::from_rows(pack.rows(pack::SPAM)?)?,
            info_json: pack.text(pack::INFO)?.to_owned(),
        }))
    }

    /// No rules at all: unknown countries, no referrer sources, and agents known by the direct scan and the built-in words only. For
    /// tests, and for what runs without a pack.
    #[must_use]
    pub fn empty() -> Arc<Rules> {
        Arc::new(Rules {
            uap: UapRules::empty(),
            bots: BotRules::empty(),
            country: CountryTable::default(),
            sources: SourceTable::default(),
            spam: SpamTable::default(),
            info_json: String::from("{}"),
        })
    }

    pub(crate) fn uap(&self) -> &UapRules {
        &self.uap
    }

    pub(crate) fn bots(&self) -> &BotRules {
        &self.bots
    }

    /// Rules of referrers, and of one country: `XA` is 203.0.113.0/24. For tests of what uses them.
    ///
    /// # Errors
    /// A medium that does not exist.
    #[cfg(test)]
    pub(crate) fn of_referrers(sources: &[[&str; 3]], spam: &[&str]) -> Result<Arc<Rules>, RulesError> {
        use pack::tests::{write_pack, write_rows};
        let sources: Vec<Vec<_>> = sources.iter().map(|row| row.iter().copied().map(Some).collect()).collect();
        let sources: Vec<&[_]> = sources.iter().map(Vec::as_slice).collect();
        let spam: Vec<[_; 1]> = spam.iter().map(|host| [Some(*host)]).collect();
        let spam: Vec<&[_]> = spam.iter().map(|row| &row[..]).collect();
        let mut countries = [1, 0, 0, 0, 3, 0, 0, 0, b'X', b'A'].to_vec();
        for start in [[0; 4], [203, 0, 113, 0], [203, 0, 114, 0]] {
            countries.extend(u32::from_be_bytes(start).to_le_bytes());
        }
        countries.extend([0, 1, 0]);
        Rules::from_bytes(&write_pack(&[
            (pack::INFO, b"{}".to_vec()),
            (pack::UAP_BROWSERS, write_rows(6, &[])),
            (pack::UAP_SYSTEMS, write_rows(6, &[])),
            (pack::UAP_DEVICES, write_rows(5, &[])),
            (pack::ISBOT, write_rows(3, &[])),
            (pack::CRAWLERS, write_rows(1, &[])),
            (pack::SOURCES, write_rows(3, &sources)),
            (pack::SPAM, write_rows(1, &spam)),
            (pack::COUNTRY_V4, countries),
        ]))
    }

    /// Countries by address.
    #[must_use]
    pub fn country(&self) -> &CountryTable {
        &self.country
    }

    /// Whether the host or one of its parent domains is on the referrer spam list. Case and a trailing dot do not matter.
    #[must_use]
    pub fn is_spam_host(&self, host: &str) -> bool {
        self.spam.contains(host)
    }

    /// The name and medium of a known referring host (`www.google.co.uk` → Google, search).
    #[must_use]
    pub fn referrer_source(&self, host: &str) -> Option<(&str, Medium)> {
        self.sources.get(host)
    }

    /// What the pack was made from, as JSON: `{"sets": [{"name", "version", "licence", "attribution", "url"}, …]}`.
    #[must_use]
    pub fn info_json(&self) -> &str {
        &self.info_json
    }
}
