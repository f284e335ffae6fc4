//! Path patterns: `*` stands for anything within a segment, `**` for anything at all, both also for nothing.
//!
//! A pattern without a star is looked up. Of the others the literal start and end are compared first, which decides
//! nearly always; what is between the first and the last star is at most [`MIDDLE_MAX_STEPS`] characters long and is walked once
//! per path, with the set of places in the pattern that the path may have reached as the bits of one word. So the cost
//! is that of the path's length whatever the stars are: no path is slow.

/// Longest pattern. Stored paths may be longer; a longer one is named by its beginning and `**`.
const PATTERN_MAX_BYTES: usize = 500;
/// Characters and stars from the first star to the last: the bits of a word, less the one that means "all of it".
const MIDDLE_MAX_STEPS: usize = 63;

/// A set of patterns.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// Sorted.
    exact: Box<[Box<str>]>,
    patterns: Box<[Pattern]>,
}

#[derive(Debug, Clone)]
struct Pattern {
    start: Box<[u8]>,
    end: Box<[u8]>,
    middle: Middle,
}

/// What stands between start and end.
#[derive(Debug, Clone)]
enum Middle {
    /// `**`
    Anything,
    /// `*`
    Segment,
    /// Stars with something between them.
    Steps(Steps),
}

/// Step i is bit i of the masks; bit i of a state says that the steps before it may be behind us.
#[derive(Debug, Clone)]
struct Steps {
    /// For each byte its place in `masks`; 0 = no step is this byte.
    places: Box<[u8; 256]>,
    /// Which steps a byte is.
    masks: Box<[u64]>,
    stars: u64,
    deep_stars: u64,
    all: u64,
}

impl Paths {
    /// Compiles patterns; `None` when one does not begin with `/` or `*`, or is over the limits.
    #[must_use]
    pub fn read(patterns: &[String]) -> Option<Paths> {
        let (mut exact, mut compiled) = (Vec::new(), Vec::new());
        for text in patterns {
            if text.len() > PATTERN_MAX_BYTES || !text.starts_with(['/', '*']) {
                return None;
            }
            match Pattern::read(text.as_bytes())? {
                Some(pattern) => compiled.push(pattern),
                None => exact.push(text.as_str().into()),
            }
        }
        exact.sort_unstable();
        exact.dedup();
        Some(Paths { exact: exact.into_boxed_slice(), patterns: compiled.into_boxed_slice() })
    }

    /// Whether a pattern stands for this path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.exact.binary_search_by(|exact| (**exact).cmp(path)).is_ok()
            || self.patterns.iter().any(|pattern| pattern.stands_for(path.as_bytes()))
    }
}

impl Pattern {
    /// `Some(None)`: no star in it. `None`: too long between the stars.
    #[allow(clippy::option_option)] // a pattern, none needed, none possible
    fn read(text: &[u8]) -> Option<Option<Pattern>> {
        let Some(first) = text.iter().position(|&byte| byte == b'*') else { return Some(None) };
        let last = text.iter().rposition(|&byte| byte == b'*')?;
        let middle = match text.get(first..=last)? {
            b"*" => Middle::Segment,
            stars if stars.iter().all(|&byte| byte == b'*') => Middle::Anything,
            steps => Middle::Steps(Steps::read(steps)?),
        };
        Some(Some(Pattern { start: text.get(..first)?.into(), end: text.get(last + 1..)?.into(), middle }))
    }

    fn stands_for(&self, path: &[u8]) -> bool {
        let between = path.strip_prefix(&*self.start).and_then(|rest| rest.strip_suffix(&*self.end));
        between.is_some_and(|between| match &self.middle {
            Middle::Anything => true,
            Middle::Segment => memchr::memchr(b'/', between).is_none(),
            Middle::Steps(steps) => steps.stand_for(between),
        })
    }
}

impl Steps {
    fn read(text: &[u8]) -> Option<Steps> {
        let mut places = Box::new([0_u8; 256]);
        let mut masks = vec![0_u64];
        let (mut stars, mut deep_stars, mut count) = (0, 0, 0);
        for run in text.chunk_by(|&before, &after| before == b'*' && after == b'*') {
            if count == MIDDLE_MAX_STEPS {
                return None;
            }
            let bit = 1_u64 << count;
            count += 1;
            match run {
                [b'*', more @ ..] => {
                    stars |= bit;
                    deep_stars |= if more.is_empty() { 0 } else { bit };
                }
                [byte, ..] => {
                    let place = places.get_mut(usize::from(*byte))?;
                    if *place == 0 {
                        *place = u8::try_from(masks.len()).ok()?;
                        masks.push(0);
                    }
                    *masks.get_mut(usize::from(*place))? |= bit;
                }
                [] => {}
            }
        }
        Some(Steps { places, masks: masks.into_boxed_slice(), stars, deep_stars, all: 1 << count })
    }

    fn stand_for(&self, path: &[u8]) -> bool {
        let mut reached = self.past_stars(1);
        for byte in path {
            let place = self.places.get(usize::from(*byte)).copied().unwrap_or_default();
            let mask = self.masks.get(usize::from(place)).copied().unwrap_or_default();
            let stays = reached & if *byte == b'/' { self.deep_stars } else { self.stars };
            reached = self.past_stars((reached & mask) << 1 | stays);
            if reached == 0 {
                return false;
            }
        }
        reached & self.all != 0
    }

    /// A star may stand for nothing. Two never follow each other.
    fn past_stars(&self, reached: u64) -> u64 {
        reached | (reached & self.stars) << 1
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::{MIDDLE_MAX_STEPS, PATTERN_MAX_BYTES, Paths};

    /// The twin: tries everything, from the left.
    fn naive(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=path.len()).any(|taken| naive(rest, &path[taken..])),
            [b'*', rest @ ..] => {
                let segment = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
                (0..=segment).any(|taken| naive(rest, &path[taken..]))
            }
            [byte, rest @ ..] => path.first() == Some(byte) && naive(rest, &path[1..]),
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop_oneof![Just("a"), Just("b"), Just("/"), Just("*"), Just("**"), Just("ab"), Just("ä")];
        let pieces = prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat());
        prop_oneof![Just("/"), Just("*"), Just("**/")]
            .prop_flat_map(move |first| pieces.clone().prop_map(move |rest| format!("{first}{rest}")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn equals_the_naive_twin(
            patterns in prop::collection::vec(pattern(), 0..4), paths in prop::collection::vec("/[ab/ä]{0,8}", 1..20),
        ) {
            let set = Paths::read(&patterns).unwrap();
            for path in paths {
                let expected = patterns.iter().any(|pattern| naive(pattern.as_bytes(), path.as_bytes()));
                prop_assert_eq!(set.contains(&path), expected, "{} by {:?}", path, patterns);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,80}", path in ".{0,40}") {
            if let Some(set) = Paths::read(&[text]) {
                let _ = set.contains(&path);
            }
        }
    }

    #[test]
    fn stars_mean_what_people_expect() {
        for (pattern, path, expected) in [
            ("/admin", "/admin", true),
            ("/admin", "/admin/", false),
            ("/admin*", "/admins", true),
            ("/admin*", "/admin/users", false),
            ("/admin**", "/admin/users/7", true),
            ("/admin/**", "/admin", false),
            ("/*/edit", "/page/edit", true),
            ("/*/edit", "/a/b/edit", false),
            ("/**/edit", "/a/b/edit", true),
            ("**/wp-*.php", "/blog/wp-login.php", true),
            ("**/wp-*.php", "/wp-content/x.php", false),
            ("**", "/", true),
            ("*", "/", false),
            ("/a*a", "/a", false),
            ("/a**b*c***d", "/axbyc/zd", true),
            ("/caf\u{e9}/*", "/caf\u{e9}/x", true),
        ] {
            let set = Paths::read(&[pattern.to_owned()]).unwrap();
            assert_eq!(set.contains(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn limits_hold_at_their_borders() {
        let within = format!("/*{}*", "x".repeat(MIDDLE_MAX_STEPS - 2));
        assert!(Paths::read(std::slice::from_ref(&within)).unwrap().contains(&within.replace('*', "yy")));
        assert!(Paths::read(&[format!("/*{}*", "x".repeat(MIDDLE_MAX_STEPS - 1))]).is_none());
        assert!(Paths::read(&[format!("/{}", "x".repeat(PATTERN_MAX_BYTES - 1))]).is_some());
        assert!(Paths::read(&[format!("/{}", "x".repeat(PATTERN_MAX_BYTES))]).is_none());
        for text in ["", "admin", "?", " /x"] {
            assert!(Paths::read(&[text.to_owned()]).is_none(), "{text}");
        }
    }

    /// A path made to be slow: quadratic where stars are tried one after the other, 10 ms and more here.
    #[test]
    fn no_path_is_slow() {
        let set = Paths::read(&["**x*x*x*x*x*y**z".to_owned()]).unwrap();
        let path = format!("/{}z", "x".repeat(100_000));
        assert!(!set.contains(&path));
    }
}
