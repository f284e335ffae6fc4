//! Agents, countries and referrers for Python: tests, benchmarks and `footfall` commands. Ingest never comes through here.
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use footfall_ingest::agents::{Agent, AgentParser, ClientHints, Versioned, bot};
use footfall_ingest::rules::Rules;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

/// (browser, browser version, OS, OS version, device code, bot reasons).
type AgentTuple = (String, String, String, String, u8, u16);
/// (family, major, minor, patch, patch minor).
type VersionedTuple = (String, Option<String>, Option<String>, Option<String>, Option<String>);
/// (family, brand, model).
type DeviceTuple = (String, Option<String>, Option<String>);

/// The six hints in the order of `ClientHints`.
type HintsTuple =
    (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// The rules of one pack with a parser of their own.
#[pyclass(module = "rust_ext")]
pub struct Agents {
    rules: Arc<Rules>,
    parser: AgentParser,
}

fn agent_tuple(agent: &Agent) -> AgentTuple {
    let text = str::to_owned;
    (
        text(agent.browser()),
        text(agent.browser_version()),
        text(agent.os()),
        text(agent.os_version()),
        agent.device as u8,
        agent.bot_reasons,
    )
}

fn versioned_tuple(found: Versioned) -> VersionedTuple {
    let [major, minor, patch, patch_minor] = found.version;
    (found.family, major, minor, patch, patch_minor)
}

#[pymethods]
impl Agents {
    #[new]
    #[pyo3(signature = (rules_path, *, seed = None, cache_entries = 16_384))]
    fn new(rules_path: PathBuf, seed: Option<(u64, u64)>, cache_entries: usize) -> PyResult<Agents> {
        let rules = open(&rules_path)?;
        let seed = seed.unwrap_or_default();
        let parser = AgentParser::new(Arc::clone(&rules), [seed.0, seed.1], cache_entries);
        Ok(Agents { rules, parser })
    }

    #[pyo3(signature = (agent, hints = None))]
    fn parse(&mut self, agent: &[u8], hints: Option<HintsTuple>) -> AgentTuple {
        let hints = hints.unwrap_or_default();
        let hints = ClientHints {
            brands: hints.0.as_deref(),
            mobile: hints.1.as_deref(),
            platform: hints.2.as_deref(),
            platform_version: hints.3.as_deref(),
            model: hints.4.as_deref(),
            full_version_list: hints.5.as_deref(),
        };
        agent_tuple(self.parser.parse(agent, &hints))
    }

    #[staticmethod]
    fn scan(agent: &[u8]) -> Option<AgentTuple> {
        AgentParser::scan(agent).as_ref().map(agent_tuple)
    }

    fn parse_by_rules(&mut self, agent: &[u8]) -> AgentTuple {
        agent_tuple(&self.parser.parse_by_rules(agent))
    }

    fn uap(&mut self, agent: &[u8]) -> (Option<VersionedTuple>, Option<VersionedTuple>, Option<DeviceTuple>) {
        let answer = self.parser.uap(agent);
        (
            answer.browser.map(versioned_tuple),
            answer.system.map(versioned_tuple),
            answer.device.map(|device| (device.family, device.brand, device.model)),
        )
    }

    #[pyo3(signature = (agents, *, cached, rounds = 1))]
    fn parse_many(&mut self, py: Python<'_>, agents: Vec<Vec<u8>>, cached: bool, rounds: u32) -> (u64, u64) {
        // One buffer, as requests lie in theirs: else the benchmark measures the allocator's scatter.
        let ends: Vec<usize> = agents
            .iter()
            .scan(0, |end, agent| {
                *end += agent.len();
                Some(*end)
            })
            .collect();
        let text = agents.concat();
        let (parser, hints) = (&mut self.parser, ClientHints::default());
        py.detach(|| {
            let (mut bots, mut devices) = (0_u64, 0_u64);
            let mut count = |agent: &Agent| {
                bots += u64::from(agent.bot_reasons != bot::NONE);
                devices += agent.device as u64;
            };
            for _ in 0..rounds {
                let mut start = 0;
                for &end in &ends {
                    let agent = text.get(start..end).unwrap_or_default();
                    start = end;
                    if cached {
                        count(parser.parse(agent, &hints));
                    } else {
                        count(&parser.parse_uncached(agent, &hints));
                    }
                }
            }
            (bots, devices)
        })
    }

    fn country(&self, address: &str) -> PyResult<Option<String>> {
        let address: IpAddr =
            address.parse().map_err(|_| PyValueError::new_err(format!("{address:?} is no address")))?;
        Ok(self.rules.country().lookup(address).map(|code| String::from_utf8_lossy(&code).into_owned()))
    }

    #[pyo3(signature = (addresses, *, rounds = 1))]
    fn country_many(&self, py: Python<'_>, addresses: Vec<u32>, rounds: u32) -> u64 {
        let table = self.rules.country();
        py.detach(|| {
            let known = |&&address: &&u32| table.lookup(IpAddr::V4(Ipv4Addr::from_bits(address))).is_some();
            (0..rounds).map(|_| addresses.iter().filter(known).count() as u64).sum()
        })
    }

    fn referrer_source(&self, host: &str) -> Option<(String, String)> {
        self.rules.referrer_source(host).map(|(name, medium)| (name.to_owned(), medium.word().to_owned()))
    }

    fn is_spam_host(&self, host: &str) -> bool {
        self.rules.is_spam_host(host)
    }
}

fn open(rules_path: &std::path::Path) -> PyResult<Arc<Rules>> {
    Rules::open(rules_path).map_err(|error| PyOSError::new_err(error.to_string()))
}

#[pyfunction]
fn rules_info_json(rules_path: PathBuf) -> PyResult<String> {
    Ok(open(&rules_path)?.info_json().to_owned())
}

#[pyfunction]
fn bot_reasons() -> Vec<(u16, &'static str)> {
    bot::REASONS.to_vec()
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Agents>()?;
    module.add_function(wrap_pyfunction!(rules_info_json, module)?)?;
    module.add_function(wrap_pyfunction!(bot_reasons, module)?)
}
