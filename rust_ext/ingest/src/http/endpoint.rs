//! Which paths take hits.
//!
//! The default paths are those that the peers' trackers call. Operators add aliases, because ad-blockers know the
//! defaults.

/// The API that a hit speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /api/event`: our tracker and Plausible's.
    Event,
    /// `POST /api/send`: Umami's tracker.
    Send,
    /// `POST /api/batch`: Umami's batches.
    Batch,
    /// `GET /hit.gif` (also HEAD): pages without scripts, mail.
    Gif,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 4] = [Endpoint::Event, Endpoint::Send, Endpoint::Batch, Endpoint::Gif];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Endpoint::Event => "event",
            Endpoint::Send => "send",
            Endpoint::Batch => "batch",
            Endpoint::Gif => "gif",
        }
    }

    /// The path it has without any setting.
    #[must_use]
    pub const fn default_path(self) -> &'static str {
        match self {
            Endpoint::Event => "/api/event",
            Endpoint::Send => "/api/send",
            Endpoint::Batch => "/api/batch",
            Endpoint::Gif => "/hit.gif",
        }
    }

    /// The methods it takes, as an `Allow` value.
    #[must_use]
    pub const fn allowed_methods(self) -> &'static str {
        match self {
            Endpoint::Event | Endpoint::Send | Endpoint::Batch => "POST, OPTIONS",
            Endpoint::Gif => "GET, HEAD, OPTIONS",
        }
    }
}

/// Path → endpoint. A handful of entries, compared by length first, so a scan beats a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTable {
    paths: Vec<(Box<[u8]>, Endpoint)>,
}

impl Default for EndpointTable {
    fn default() -> Self {
        let paths =
            Endpoint::ALL.into_iter().map(|endpoint| (endpoint.default_path().as_bytes().into(), endpoint)).collect();
        EndpointTable { paths }
    }
}

impl EndpointTable {
    /// Adds an alias, a path such as `/assets/ping`, compared byte by byte with the request's path.
    ///
    /// # Errors
    /// The path does not start with `/`, holds a byte that no path holds, or already means another endpoint.
    pub fn add_alias(&mut self, path: &str, endpoint: Endpoint) -> Result<(), AliasError> {
        let valid =
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        if !valid {
            return Err(AliasError::NotAPath(path.to_owned()));
        }
        match self.lookup(path.as_bytes()) {
            Some(taken) if taken == endpoint => Ok(()),
            Some(taken) => Err(AliasError::Taken { path: path.to_owned(), by: taken }),
            None => {
                self.paths.push((path.as_bytes().into(), endpoint));
                Ok(())
            }
        }
    }

    /// The endpoint of this path (no query), if it takes hits.
    #[must_use]
    pub fn lookup(&self, path: &[u8]) -> Option<Endpoint> {
        self.paths.iter().find(|(known, _)| **known == *path).map(|(_, endpoint)| *endpoint)
    }
}

/// Why an alias was refused. Configuration errors: fatal at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasError {
    /// Not an absolute path of visible ASCII without `?` and `#`.
    NotAPath(String),
    /// The path already means another endpoint.
    Taken {
        /// The refused path.
        path: String,
        /// What it already means.
        by: Endpoint,
    },
}

impl std::fmt::Display for AliasError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AliasError::NotAPath(path) => write!(formatter, "{path:?} is not a path"),
            AliasError::Taken { path, by } => write!(formatter, "{path:?} already takes hits of {}", by.name()),
        }
    }
}

impl std::error::Error for AliasError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn aliases_join_the_default_paths() {
        let mut table = EndpointTable::default();
        table.add_alias("/x/ping", Endpoint::Event).unwrap();
        table.add_alias("/x/ping", Endpoint::Event).unwrap();
        assert_eq!(table.lookup(b"/x/ping"), Some(Endpoint::Event));
        assert_eq!(table.lookup(b"/api/send"), Some(Endpoint::Send));
        assert_eq!(table.lookup(b"/api/event/"), None);
        assert_eq!(table.lookup(b"/API/event"), None);
        assert!(matches!(table.add_alias("/x/ping", Endpoint::Gif), Err(AliasError::Taken { .. })));
        for bad in ["", "ping", "/a?b", "/a b", "/a#b", "/ä"] {
            assert!(matches!(table.add_alias(bad, Endpoint::Gif), Err(AliasError::NotAPath(_))), "{bad}");
        }
    }
}
