//! uap-core's rules: the fallback that knows every browser, system and device there ever was.
//!
//! Answers equal PyPI `ua-parser` with its Rust resolver, field by field: the first regex in list order wins; its groups fill the
//! templates. Browsers take `$1` in the family and the groups 2 to 5 for what the rule does not name; systems and devices take `$n`
//! anywhere, are trimmed, and an empty result is none.
use super::filtered::{BadPattern, Match, PatternSet, Scratch};
use crate::rules::{Row, RulesError, Tag};

/// A browser or an operating system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versioned {
    /// The family; never empty for what a rule found.
    pub family: String,
    /// Major, minor, patch, patch minor.
    pub version: [Option<String>; 4],
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceModel {
    /// The family.
    pub family: String,
    /// The brand.
    pub brand: Option<String>,
    /// The model.
    pub model: Option<String>,
}

/// The three lists.
pub(crate) struct UapRules {
    browsers: PatternSet,
    browser_templates: Vec<[Option<Box<str>>; 5]>,
    systems: PatternSet,
    system_templates: Vec<[Option<Box<str>>; 5]>,
    devices: PatternSet,
    device_templates: Vec<[Option<Box<str>>; 3]>,
}

/// Groups that the fields of a browser or system fall back to.
const VERSION_GROUPS: [usize; 4] = [2, 3, 4, 5];
const VERSION_TEMPLATES: [&str; 4] = ["$2", "$3", "$4", "$5"];

impl UapRules {
    /// No rules.
    pub(crate) fn empty() -> UapRules {
        UapRules {
            browsers: PatternSet::empty(),
            browser_templates: Vec::new(),
            systems: PatternSet::empty(),
            system_templates: Vec::new(),
            devices: PatternSet::empty(),
            device_templates: Vec::new(),
        }
    }

    /// The sections `uapb`, `uapo`, `uapd`, in this order.
    pub(crate) fn from_rows(sections: [(Tag, Vec<Row<'_>>); 3]) -> Result<UapRules, RulesError> {
        let [(browser_tag, browsers), (system_tag, systems), (device_tag, devices)] = sections;
        Ok(UapRules {
            browser_templates: browsers.iter().map(|row| templates(row, 1)).collect(),
            browsers: pattern_set(browser_tag, &browsers, |_| false)?,
            system_templates: systems.iter().map(|row| templates(row, 1)).collect(),
            systems: pattern_set(system_tag, &systems, |_| false)?,
            device_templates: devices.iter().map(|row| templates(row, 2)).collect(),
            devices: pattern_set(device_tag, &devices, |row| row.get(1) == Some("i"))?,
        })
    }

    pub(crate) fn browser(&self, agent: &[u8], scratch: &mut Scratch) -> Option<Versioned> {
        let found = self.browsers.first_match(agent, scratch)?;
        let [family, fields @ ..] = self.browser_templates.get(found.pattern)?;
        let first_group = || text(found.group(1)).unwrap_or_default();
        let family = match family {
            Some(template) if template.contains("$1") => template.replace("$1", &first_group()),
            Some(template) => template.to_string(),
            None => first_group(),
        };
        let mut fields = fields.iter().zip(VERSION_GROUPS);
        let version = std::array::from_fn(|_| {
            fields.next().and_then(|(field, group)| match field {
                Some(fixed) => Some(fixed.to_string()),
                None => text(found.group(group)),
            })
        });
        Some(Versioned { family, version })
    }

    pub(crate) fn system(&self, agent: &[u8], scratch: &mut Scratch) -> Option<Versioned> {
        let found = self.systems.first_match(agent, scratch)?;
        let [family, fields @ ..] = self.system_templates.get(found.pattern)?;
        let mut fields = fields.iter().zip(VERSION_TEMPLATES);
        Some(Versioned {
            family: fill(family.as_deref().unwrap_or("$1"), &found).unwrap_or_default(),
            version: std::array::from_fn(|_| {
                fields.next().and_then(|(field, default)| fill(field.as_deref().unwrap_or(default), &found))
            }),
        })
    }

    pub(crate) fn device(&self, agent: &[u8], scratch: &mut Scratch) -> Option<DeviceModel> {
        let found = self.devices.first_match(agent, scratch)?;
        let [family, brand, model] = self.device_templates.get(found.pattern)?;
        Some(DeviceModel {
            family: fill(family.as_deref().unwrap_or("$1"), &found).unwrap_or_default(),
            brand: fill(brand.as_deref().unwrap_or_default(), &found),
            model: fill(model.as_deref().unwrap_or("$1"), &found),
        })
    }

    #[cfg(test)]
    pub(crate) fn sets(&self) -> [&PatternSet; 3] {
        [&self.browsers, &self.systems, &self.devices]
    }
}

fn pattern_set(tag: Tag, rows: &[Row<'_>], ignore_case: impl Fn(&Row<'_>) -> bool) -> Result<PatternSet, RulesError> {
    let sources =
        rows.iter().map(|row| Ok((row.need(0)?, ignore_case(row)))).collect::<Result<Vec<_>, RulesError>>()?;
    PatternSet::new(sources.into_iter()).map_err(|(pattern, BadPattern(reason))| RulesError::Regex {
        tag,
        pattern,
        reason,
    })
}

/// The fields from `first` on; an empty one counts as absent.
fn templates<const N: usize>(row: &Row<'_>, first: usize) -> [Option<Box<str>>; N] {
    std::array::from_fn(|index| row.get(first + index).filter(|field| !field.is_empty()).map(Box::from))
}

/// A group as text, none when empty.
fn text(group: Option<&[u8]>) -> Option<String> {
    group.filter(|bytes| !bytes.is_empty()).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The template with its `$n` replaced, trimmed; none when nothing is left.
fn fill(template: &str, found: &Match<'_, '_>) -> Option<String> {
    let mut filled = String::with_capacity(template.len() + 8);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        match after.chars().next().and_then(|digit| digit.to_digit(10)) {
            Some(group) => {
                // Group 0, the whole match, is no template of uap's.
                let group = usize::try_from(group).ok().filter(|&group| group > 0);
                filled.push_str(&group.and_then(|group| text(found.group(group))).unwrap_or_default());
                rest = after.get(1..).unwrap_or_default();
            }
            None => {
                filled.push('$');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    let trimmed = filled.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}
