//! What a text must contain for a regex to match it: the theory behind the prefilter.
//!
//! A requirement is a set of literals of which at least one must occur; a regex has zero or more of them and all must hold.
//! Literals are lower-case and the search ignores case, which can only let more texts through. Invariant: a text that breaks a
//! requirement never matches the regex (`filtered` holds that by a property test against the regexes themselves).
use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

/// At least one of these must occur.
pub(super) type Requirement = BTreeSet<Vec<u8>>;

/// A set of literals is followed through the regex up to this size (`[Bb]ot`, `(?:iPad|iPod|iPhone)`).
const EXACT_MAX: usize = 64;
/// A requirement with a literal shorter than this holds nearly always.
const LITERAL_MIN_BYTES: usize = 2;
/// Requirements kept per regex, the most selective ones.
const REQUIREMENTS_MAX: usize = 4;

/// The requirements of a regex, most selective first. Empty: nothing can be said, it has to be tried on every text.
pub(super) fn requirements(hir: &Hir) -> Vec<Requirement> {
    let mut info = analyse(hir);
    info.close();
    let mut found: Vec<Requirement> = info.needs.into_iter().filter(|set| shortest(set) >= LITERAL_MIN_BYTES).collect();
    found.sort_by_key(|set| (std::cmp::Reverse(shortest(set)), set.len()));
    found.dedup();
    found.truncate(REQUIREMENTS_MAX);
    found
}

/// The text that the whole regex is, when it is nothing but that; a group around it would have to be reported.
pub(super) fn whole_literal(hir: &Hir) -> Option<&[u8]> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(&literal.0),
        _ => None,
    }
}

/// What is known of a part of a regex.
struct Info {
    /// All the texts that it matches, if few.
    exact: Option<Requirement>,
    /// What it requires beside `exact`.
    needs: Vec<Requirement>,
}

impl Info {
    fn exactly(literal: &[u8]) -> Info {
        Info { exact: Some(Requirement::from([literal.to_ascii_lowercase()])), needs: Vec::new() }
    }

    fn anything() -> Info {
        Info { exact: None, needs: Vec::new() }
    }

    /// Turns `exact` into a requirement.
    fn close(&mut self) {
        if let Some(exact) = self.exact.take() {
            self.needs.push(exact);
        }
    }
}

fn analyse(hir: &Hir) -> Info {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Info::exactly(b""),
        HirKind::Literal(literal) => Info::exactly(&literal.0),
        HirKind::Class(class) => {
            class_texts(class).map_or_else(Info::anything, |exact| Info { exact: Some(exact), needs: Vec::new() })
        }
        HirKind::Capture(capture) => analyse(&capture.sub),
        HirKind::Repetition(repetition) => {
            let mut info = analyse(&repetition.sub);
            match (repetition.min, repetition.max) {
                (1, Some(1)) => info,
                (0, Some(1)) => match info.exact {
                    Some(mut exact) if info.needs.is_empty() => {
                        exact.insert(Vec::new());
                        Info { exact: Some(exact), needs: Vec::new() }
                    }
                    _ => Info::anything(),
                },
                (0, _) => Info::anything(),
                _ => {
                    info.close();
                    info
                }
            }
        }
        HirKind::Concat(parts) => {
            let mut whole = Info::exactly(b"");
            for part in parts {
                let part = analyse(part);
                whole.needs.extend(part.needs);
                whole.exact = match (whole.exact.take(), part.exact) {
                    (Some(left), Some(right)) if left.len() * right.len() <= EXACT_MAX => Some(cross(&left, &right)),
                    (left, right) => {
                        whole.needs.extend(left);
                        // After a part of many texts the next literal begins anew.
                        Some(right.unwrap_or_else(|| Requirement::from([Vec::new()])))
                    }
                };
            }
            // Once something was flushed, `exact` is the last run only: no longer all the texts, still required.
            if !whole.needs.is_empty() {
                whole.close();
            }
            whole
        }
        HirKind::Alternation(parts) => {
            let parts: Vec<Info> = parts.iter().map(analyse).collect();
            let exact: Option<Requirement> = parts
                .iter()
                .map(|part| part.exact.as_ref().filter(|_| part.needs.is_empty()))
                .collect::<Option<Vec<_>>>()
                .map(|sets| sets.into_iter().flatten().cloned().collect());
            if let Some(exact) = exact.filter(|exact| exact.len() <= EXACT_MAX) {
                return Info { exact: Some(exact), needs: Vec::new() };
            }
            // One requirement of each branch, whichever is best: one of them must hold.
            let best: Option<Requirement> = parts
                .into_iter()
                .map(|mut part| {
                    part.close();
                    part.needs.into_iter().max_by_key(|set| (shortest(set), std::cmp::Reverse(set.len())))
                })
                .collect::<Option<Vec<_>>>()
                .map(|sets| sets.into_iter().flatten().collect());
            Info { exact: None, needs: best.into_iter().collect() }
        }
    }
}

fn cross(left: &Requirement, right: &Requirement) -> Requirement {
    left.iter().flat_map(|head| right.iter().map(move |tail| [head.as_slice(), tail.as_slice()].concat())).collect()
}

fn shortest(set: &Requirement) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

/// The one-character texts of a small class, in lower case.
fn class_texts(class: &Class) -> Option<Requirement> {
    let Class::Bytes(class) = class else { return None };
    let mut texts = Requirement::new();
    for range in class.ranges() {
        for byte in range.start()..=range.end() {
            texts.insert(vec![byte.to_ascii_lowercase()]);
            if texts.len() > 4 {
                return None;
            }
        }
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use super::super::filtered::parse_regex;
    use super::*;

    fn found(pattern: &str) -> Vec<Vec<String>> {
        let hir = parse_regex(pattern, false).unwrap();
        let texts = |set: Requirement| set.into_iter().map(|text| String::from_utf8(text).unwrap()).collect();
        requirements(&hir).into_iter().map(texts).collect()
    }

    #[test]
    fn finds_what_must_occur() {
        assert_eq!(found("Googlebot"), [["googlebot"]]);
        assert_eq!(found("(Fire)(?:fox|bird)/(\\d+)"), [["firebird/", "firefox/"]]);
        assert_eq!(found("[Bb]ot.*Linux"), vec![vec!["linux"], vec!["bot"]]);
        assert_eq!(found("x*(?:ab|cd.)"), [["ab", "cd"]]);
        assert_eq!(found("(?:Tab)?let"), vec![vec!["let", "tablet"]]);
        assert_eq!(found("^(?:Foo){2,}$"), [["foo"]]);
        assert_eq!(found("(?:a+b|cd)ef"), vec![vec!["ef"]]);
        assert!(found(".*").is_empty() && found("(?:ab|.)").is_empty() && found("[a-z]+").is_empty());
    }
}
