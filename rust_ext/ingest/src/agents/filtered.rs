//! Many regexes over one text: a prefilter finds the few that can match, those are tried in order.
//!
//! One Aho-Corasick automaton looks for all the literals that the regexes require (`literals`); a regex is tried only when each of
//! its requirements occurred. A regex is compiled when it is first tried, so a process holds only the ones its traffic needs, and
//! all of them share one backtracking cache, which belongs to the `Scratch` of the calling thread.
//!
//! Dialect: bytes, ASCII classes, no lookaround. A long bounded repetition (`.{0,200}`) is taken as unbounded, as ua-parser's own
//! Rust engine does: the bound guards engines that may run away, this one is bounded by text × states, and the text by
//! `AGENT_MAX_BYTES`.
use std::collections::HashMap;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::{Compiler, Config as NfaConfig};
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Repetition};

use super::literals;

/// Bounds from here on count as unbounded.
const BOUND_IS_UNBOUNDED: u32 = 100;
/// The backtracker's bit set of (state, position) pairs; grows to this at most. The largest regex of uap-core, 2,400 states, over
/// the longest agent asked for needs 620 kB.
const VISITED_MAX_BYTES: usize = 1 << 20;
/// Slots of the whole match and nine groups; no rule refers to more.
const SLOTS: usize = 20;

/// The pattern is no regex of our dialect; why.
#[derive(Debug)]
pub(super) struct BadPattern(pub(super) String);

/// A list of regexes with its prefilter.
pub(crate) struct PatternSet {
    patterns: Vec<Pattern>,
    automaton: Option<AhoCorasick>,
    /// Per literal of the automaton, which requirement of which pattern it meets.
    meets: Vec<Vec<(u32, u8)>>,
    /// Patterns without requirements, ascending.
    always: Vec<u32>,
}

struct Pattern {
    source: Box<str>,
    ignore_case: bool,
    /// One bit per requirement, all set.
    all_met: u8,
    /// The whole regex, when it is plain text; then nothing is compiled.
    literal: Option<Box<[u8]>>,
    engine: OnceLock<Option<Box<BoundedBacktracker>>>,
}

/// What a search needs to write. One per thread, for any number of sets.
pub(crate) struct Scratch {
    met: Vec<u8>,
    touched: Vec<u32>,
    candidates: Vec<u32>,
    /// Made by the first engine; each search resizes it for its own.
    visited: Option<backtrack::Cache>,
    slots: [Option<NonMaxUsize>; SLOTS],
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch { met: Vec::new(), touched: Vec::new(), candidates: Vec::new(), visited: None, slots: [None; SLOTS] }
    }
}

/// A match: which pattern, and where its groups are.
pub(super) struct Match<'t, 's> {
    pub(super) pattern: usize,
    text: &'t [u8],
    slots: &'s [Option<NonMaxUsize>],
}

impl<'t> Match<'t, '_> {
    /// A group's text; 0 is the whole match. `None` when the group took no part.
    pub(super) fn group(&self, index: usize) -> Option<&'t [u8]> {
        let start = (*self.slots.get(index * 2)?)?.get();
        let end = (*self.slots.get(index * 2 + 1)?)?.get();
        self.text.get(start..end)
    }
}

impl PatternSet {
    /// No patterns.
    pub(super) fn empty() -> PatternSet {
        PatternSet { patterns: Vec::new(), automaton: None, meets: Vec::new(), always: Vec::new() }
    }

    /// Parses all patterns, compiles none.
    pub(super) fn new<'p>(sources: impl Iterator<Item = (&'p str, bool)>) -> Result<PatternSet, (String, BadPattern)> {
        let mut patterns = Vec::new();
        let mut literal_ids: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut meets: Vec<Vec<(u32, u8)>> = Vec::new();
        let mut always = Vec::new();
        for (number, (source, ignore_case)) in (0_u32..).zip(sources) {
            let hir = parse_regex(source, ignore_case).map_err(|why| (source.to_owned(), why))?;
            let requirements = literals::requirements(&hir);
            if requirements.is_empty() {
                always.push(number);
            }
            let mut all_met = 0_u8;
            for (bit, requirement) in requirements.into_iter().enumerate() {
                all_met |= 1 << bit;
                for literal in requirement {
                    let id = *literal_ids.entry(literal).or_insert_with(|| {
                        meets.push(Vec::new());
                        meets.len() - 1
                    });
                    if let Some(met) = meets.get_mut(id) {
                        met.push((number, 1 << bit));
                    }
                }
            }
            patterns.push(Pattern {
                source: source.into(),
                ignore_case,
                all_met,
                literal: literals::whole_literal(&hir).filter(|_| !ignore_case).map(Box::from),
                engine: OnceLock::new(),
            });
        }
        let mut ordered: Vec<(&Vec<u8>, usize)> = literal_ids.iter().map(|(literal, id)| (literal, *id)).collect();
        ordered.sort_by_key(|(_, id)| *id);
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(ordered.iter().map(|(literal, _)| literal))
            .map_err(|why| (String::from("all literals"), BadPattern(why.to_string())))?;
        Ok(PatternSet { patterns, automaton: Some(automaton), meets, always })
    }

    /// The first pattern in list order that matches.
    pub(super) fn first_match<'t, 's>(&self, text: &'t [u8], scratch: &'s mut Scratch) -> Option<Match<'t, 's>> {
        self.collect_candidates(text, scratch);
        let Scratch { candidates, visited, slots, .. } = scratch;
        let number = candidates.iter().copied().find(|&number| {
            *slots = [None; SLOTS];
            usize::try_from(number)
                .ok()
                .and_then(|number| self.patterns.get(number))
                .is_some_and(|pattern| pattern.search(text, 0, Anchored::No, visited, slots))
        })?;
        Some(Match { pattern: usize::try_from(number).ok()?, text, slots: &*slots })
    }

    /// Calls `accept` with each pattern that may match, in list order, until it says yes.
    pub(super) fn any_candidate(
        &self,
        text: &[u8],
        scratch: &mut Scratch,
        mut accept: impl FnMut(usize, &mut Searcher<'_>) -> bool,
    ) -> bool {
        self.collect_candidates(text, scratch);
        let Scratch { candidates, visited, slots, .. } = scratch;
        candidates.iter().any(|&number| {
            let Ok(number) = usize::try_from(number) else { return false };
            let Some(pattern) = self.patterns.get(number) else { return false };
            accept(number, &mut Searcher { pattern, text, visited, slots })
        })
    }

    /// The patterns, in order, whose requirements all occur.
    fn collect_candidates(&self, text: &[u8], scratch: &mut Scratch) {
        let Scratch { met, touched, candidates, .. } = scratch;
        if met.len() < self.patterns.len() {
            met.resize(self.patterns.len(), 0);
        }
        candidates.clear();
        candidates.extend_from_slice(&self.always);
        let literals = self.automaton.iter().flat_map(|automaton| automaton.find_overlapping_iter(text));
        for found in literals {
            for &(number, bit) in self.meets.get(found.pattern().as_usize()).into_iter().flatten() {
                let Some(bits) = usize::try_from(number).ok().and_then(|number| met.get_mut(number)) else { continue };
                if *bits == 0 {
                    touched.push(number);
                }
                *bits |= bit;
            }
        }
        for number in touched.drain(..) {
            let Ok(index) = usize::try_from(number) else { continue };
            let (Some(bits), Some(pattern)) = (met.get_mut(index), self.patterns.get(index)) else { continue };
            if *bits == pattern.all_met {
                candidates.push(number);
            }
            *bits = 0;
        }
        candidates.sort_unstable();
    }

    /// Compiles every regex: what lazy compilation would find out one by one.
    #[cfg(test)]
    pub(super) fn compile_all(&self) -> Result<(), String> {
        for pattern in &self.patterns {
            let engine = pattern.compile().ok_or_else(|| pattern.source.to_string())?;
            if engine.max_haystack_len() < super::UAP_MAX_BYTES {
                return Err(format!("{} takes {} bytes only", pattern.source, engine.max_haystack_len()));
            }
        }
        Ok(())
    }

    /// The twin of `first_match`: every pattern in order, without prefilter.
    #[cfg(test)]
    pub(super) fn first_match_naive<'t, 's>(&self, text: &'t [u8], scratch: &'s mut Scratch) -> Option<Match<'t, 's>> {
        let Scratch { visited, slots, .. } = scratch;
        let pattern = self.patterns.iter().position(|pattern| {
            *slots = [None; SLOTS];
            pattern.search(text, 0, Anchored::No, visited, slots)
        })?;
        Some(Match { pattern, text, slots: &*slots })
    }
}

/// One candidate over its text.
pub(super) struct Searcher<'s> {
    pattern: &'s Pattern,
    text: &'s [u8],
    visited: &'s mut Option<backtrack::Cache>,
    slots: &'s mut [Option<NonMaxUsize>; SLOTS],
}

impl Searcher<'_> {
    /// Whether the pattern matches anywhere.
    pub(super) fn is_match(&mut self) -> bool {
        self.pattern.search(self.text, 0, Anchored::No, self.visited, self.slots)
    }

    /// The match that begins at `from` or after it: (start, end).
    pub(super) fn find_from(&mut self, from: usize) -> Option<(usize, usize)> {
        *self.slots = [None; SLOTS];
        if !self.pattern.search(self.text, from, Anchored::No, self.visited, self.slots) {
            return None;
        }
        let [Some(start), Some(end), ..] = self.slots else { return None };
        Some((start.get(), end.get()))
    }
}

impl Pattern {
    fn search(
        &self,
        text: &[u8],
        from: usize,
        anchored: Anchored,
        visited: &mut Option<backtrack::Cache>,
        slots: &mut [Option<NonMaxUsize>; SLOTS],
    ) -> bool {
        if let Some(literal) = &self.literal {
            let Some(start) = text.get(from..).and_then(|rest| memchr::memmem::find(rest, literal)) else {
                return false;
            };
            slots[0] = NonMaxUsize::new(from + start);
            slots[1] = NonMaxUsize::new(from + start + literal.len());
            return true;
        }
        let Some(engine) = self.engine.get_or_init(|| self.compile()) else { return false };
        let visited = visited.get_or_insert_with(|| engine.create_cache());
        let input = Input::new(text).range(from..).anchored(anchored);
        matches!(engine.try_search_slots(visited, &input, slots), Ok(Some(_)))
    }

    /// `None` cannot happen for a pattern that parsed: the automaton has no size limit. Such a pattern would never match.
    fn compile(&self) -> Option<Box<BoundedBacktracker>> {
        let hir = parse_regex(&self.source, self.ignore_case).ok()?;
        let nfa = Compiler::new().configure(NfaConfig::new().utf8(false)).build_from_hir(&hir).ok()?;
        let prefilter = Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, &hir);
        let config = BoundedBacktracker::config().visited_capacity(VISITED_MAX_BYTES).prefilter(prefilter);
        BoundedBacktracker::builder().configure(config).build_from_nfa(nfa).ok().map(Box::new)
    }
}

/// Parses our dialect.
pub(super) fn parse_regex(source: &str, ignore_case: bool) -> Result<Hir, BadPattern> {
    let hir = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(ignore_case)
        .build()
        .parse(source)
        .map_err(|why| BadPattern(why.to_string()))?;
    Ok(unbounded(&hir))
}

/// Lifts the upper bound of long repetitions.
fn unbounded(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let is_long = repetition.min <= 1 && repetition.max.is_some_and(|max| max >= BOUND_IS_UNBOUNDED);
            Hir::repetition(Repetition {
                max: if is_long { None } else { repetition.max },
                sub: Box::new(unbounded(&repetition.sub)),
                ..repetition.clone()
            })
        }
        HirKind::Capture(capture) => {
            Hir::capture(regex_syntax::hir::Capture { sub: Box::new(unbounded(&capture.sub)), ..capture.clone() })
        }
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(unbounded).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(unbounded).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    fn set(patterns: &[&str]) -> PatternSet {
        PatternSet::new(patterns.iter().map(|&pattern| (pattern, false))).map_err(|(_, why)| why).unwrap()
    }

    #[test]
    fn the_first_in_order_wins_with_its_groups() {
        let set = set(&["(Opera)/(\\d+)", "(Chrome)/(\\d+)(?:\\.(\\d+)|)", "Chr"]);
        let mut scratch = Scratch::new();
        let found = set.first_match(b"x Chrome/145 Opera", &mut scratch).unwrap();
        assert_eq!((found.pattern, found.group(1), found.group(2)), (1, Some(&b"Chrome"[..]), Some(&b"145"[..])));
        assert_eq!((found.group(3), found.group(9), found.group(99)), (None, None, None));
        assert!(set.first_match(b"chrome", &mut scratch).is_none());
    }

    #[test]
    fn a_pattern_without_literals_is_always_tried() {
        let set = set(&["Foo", "^[a-z]+$"]);
        assert_eq!(set.first_match(b"anything", &mut Scratch::new()).unwrap().pattern, 1);
    }

    #[test]
    fn refuses_lookaround_and_broken_regexes() {
        for pattern in ["(?<!x)y", "a(?!b)", "("] {
            assert!(parse_regex(pattern, false).is_err(), "{pattern}");
        }
    }

    /// Small regexes over a small alphabet, so that random texts match often.
    fn regex() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[abAB]{1,4}".prop_map(|text| text),
            Just("[ab]".to_owned()),
            Just("[^a]".to_owned()),
            Just(".".to_owned()),
            Just("^".to_owned()),
            Just("$".to_owned()),
            Just("\\b".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
                (
                    inner.clone(),
                    prop_oneof![Just("*"), Just("+"), Just("?"), Just("{2}"), Just("{0,200}"), Just("{1,200}?")]
                )
                    .prop_map(|(part, times)| format!("(?:{part}){times}")),
                inner.prop_map(|part| format!("({part})")),
            ]
        })
    }

    proptest! {
        #[test]
        fn equals_trying_every_pattern(patterns in prop::collection::vec((regex(), any::<bool>()), 1..8), texts in prop::collection::vec("[abAB \n]{0,12}", 1..8)) {
            let set = PatternSet::new(patterns.iter().map(|(pattern, flag)| (pattern.as_str(), *flag))).map_err(|(_, why)| why).unwrap();
            let (mut fast, mut naive) = (Scratch::new(), Scratch::new());
            for text in &texts {
                let fast = set.first_match(text.as_bytes(), &mut fast).map(|found| (found.pattern, found.group(0), found.group(1)));
                let naive = set.first_match_naive(text.as_bytes(), &mut naive).map(|found| (found.pattern, found.group(0), found.group(1)));
                prop_assert_eq!(fast, naive);
            }
        }
    }
}
