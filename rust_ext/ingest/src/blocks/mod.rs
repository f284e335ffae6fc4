//! What a site keeps out by itself: networks its visitors come from, countries, and paths of its pages.
//!
//! Everything is compiled once, when a snapshot is read; a hit costs a halving over the networks, one bit for the country
//! and a comparison per path pattern. A site without any of them has no [`Blocks`] at all.
//!
//! No entry is ever part of an error or a debug text: a blocked network may be one person's address.

mod countries;
mod networks;
mod paths;

pub use countries::Countries;
pub use networks::Networks;
pub use paths::Paths;

/// The blocks of one site, at least one.
#[derive(Debug, Clone)]
pub struct Blocks {
    /// Client networks.
    pub networks: Networks,
    /// Countries by address.
    pub countries: Countries,
    /// Paths of pages.
    pub paths: Paths,
}

/// Which kind of entry cannot be read. The entry itself is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockError {
    /// Neither an address nor a network in CIDR form.
    Network,
    /// Not two letters.
    Country,
    /// Not a path pattern, or one over its limits.
    Path,
}

impl Blocks {
    /// Compiles a site's entries; `None` when there are none.
    ///
    /// # Errors
    /// The first kind of which an entry cannot be read.
    pub fn read(
        networks: &[String],
        countries: &[String],
        paths: &[String],
    ) -> Result<Option<Box<Blocks>>, BlockError> {
        if networks.is_empty() && countries.is_empty() && paths.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(Blocks {
            networks: Networks::read(networks).ok_or(BlockError::Network)?,
            countries: Countries::read(countries).ok_or(BlockError::Country)?,
            paths: Paths::read(paths).ok_or(BlockError::Path)?,
        })))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{BlockError, Blocks};

    #[test]
    fn each_kind_has_its_error_and_nothing_is_nothing() {
        let one = |text: &str| vec![text.to_owned()];
        assert!(Blocks::read(&[], &[], &[]).unwrap().is_none());
        assert!(Blocks::read(&one("192.0.2.0/24"), &[], &[]).unwrap().is_some());
        assert_eq!(Blocks::read(&one("192.0.2.0/33"), &[], &[]).unwrap_err(), BlockError::Network);
        assert_eq!(Blocks::read(&[], &one("DEU"), &[]).unwrap_err(), BlockError::Country);
        assert_eq!(Blocks::read(&[], &[], &one("admin")).unwrap_err(), BlockError::Path);
    }

    #[test]
    fn a_network_never_shows_itself() {
        let blocks = Blocks::read(&["203.0.113.77".to_owned()], &[], &[]).unwrap();
        assert!(!format!("{blocks:?}").contains("203"), "{blocks:?}");
    }
}
