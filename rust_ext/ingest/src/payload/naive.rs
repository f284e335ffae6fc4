//! The naive twin of [`super::event`]: the same reading over a tree of owned values, one key per line, no care for speed.
//!
//! It knows nothing of the order in which wrong fields come, so it returns every reject; the decoder's must be one of them.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use serde_json::{Map, Value};

use super::metrics::{MAX_METRICS, metric_of_name};
use super::{EventName, HitFields, Page, PayloadLimits, SiteKey};
use crate::drop_reason::Outcome;

/// What of an event matters, owned.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    pub name: String,
    pub url: String,
    pub domain: Option<String>,
    pub referrer: String,
    pub flags: (bool, Option<bool>, bool),
    pub revenue: Option<(i64, String)>,
    pub numbers: (Option<u8>, Option<u32>, u64, u16, u16, u16),
    pub texts: (String, String),
    pub props: Vec<(String, String)>,
    pub metrics: Vec<(u8, f32)>,
}

impl Summary {
    /// That of decoded fields.
    pub fn of(fields: &HitFields<'_>) -> Summary {
        let mut props: Vec<_> =
            fields.props.as_slice().iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        props.sort();
        let mut metrics: Vec<_> =
            fields.metrics.as_slice().iter().map(|(metric, value)| (*metric as u8, *value)).collect();
        metrics.sort_by_key(|(metric, _)| *metric);
        Summary {
            name: match fields.name {
                EventName::Pageview => "pageview".to_owned(),
                EventName::Engagement => "engagement".to_owned(),
                EventName::Vitals => "vitals!".to_owned(),
                EventName::Timings => "timings!".to_owned(),
                EventName::Custom(name) => name.to_owned(),
                EventName::Unsupported => "!".to_owned(),
            },
            url: match fields.page {
                Page::Url(url) | Page::Parts { url, .. } => url.to_owned(),
            },
            domain: match fields.site {
                SiteKey::Domains(domain) | SiteKey::PublicId(domain) => Some(domain.to_owned()),
                SiteKey::PageHostname => None,
            },
            referrer: fields.referrer.to_owned(),
            flags: (fields.hash_mode, fields.interactive, fields.webdriver),
            revenue: fields.revenue.map(|revenue| (revenue.amount_micros, revenue.currency.to_owned())),
            numbers: (
                fields.scroll_depth_percent,
                fields.engaged_ms,
                fields.load_id,
                fields.sequence,
                fields.screen_width_px,
                fields.screen_height_px,
            ),
            texts: (fields.timezone.to_owned(), fields.language.to_owned()),
            props,
            metrics,
        }
    }
}

/// Reads one event of a client.
pub fn decode(body: &str, limits: &PayloadLimits) -> Result<Summary, Vec<Outcome>> {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(body) else {
        return Err(vec![Outcome::Json]);
    };
    let mut reader = Reader { members, rejects: Vec::new() };
    let summary = reader.read(limits);
    if reader.rejects.is_empty() { Ok(summary) } else { Err(reader.rejects) }
}

struct Reader {
    members: Map<String, Value>,
    rejects: Vec<Outcome>,
}

impl Reader {
    fn read(&mut self, limits: &PayloadLimits) -> Summary {
        let mut found = Summary::default();
        let name = self.text(&["n", "name"], true).unwrap_or_default();
        let url = self.text(&["u", "url"], false);
        found.domain = self.text(&["d", "domain"], false);
        found.referrer = self.text(&["r", "referrer"], false).unwrap_or_default();
        while found.referrer.len() > limits.referrer_bytes {
            found.referrer.pop();
        }
        found.flags = (self.flag(&["h", "hashMode"]).unwrap_or(false), self.flag(&["i", "interactive"]), false);
        found.flags.2 = self.flag(&["wd"]).unwrap_or(false);
        found.numbers.0 =
            self.number("sd").filter(|depth| depth.round() < 255.0).map(|depth| depth.min(100.0).round() as u8);
        found.numbers.1 = self.number("e").map(|ms| ms.min(86_400_000.0).round() as u32);
        if let Some(load) = self.text(&["l"], false) {
            if load.len() > 16 {
                self.rejects.push(Outcome::FieldTooLong);
            } else if load.chars().all(|digit| digit.is_ascii_hexdigit()) {
                found.numbers.2 = u64::from_str_radix(&load, 16).unwrap_or(0);
            } else {
                self.rejects.push(Outcome::FieldType);
            }
        }
        found.numbers.3 = self.small("q");
        found.numbers.4 = self.small("sw");
        found.numbers.5 = self.small("sh");
        found.texts = (self.text(&["tz"], false).unwrap_or_default(), self.text(&["lg"], false).unwrap_or_default());
        found.revenue = self.revenue(&["$", "revenue"]);
        found.props = self.props(limits);
        let has_metrics = self.metrics(&mut found);
        match url {
            None => self.rejects.push(Outcome::FieldMissing),
            Some(url) if url.trim().is_empty() => self.rejects.push(Outcome::FieldMissing),
            Some(url) if url.len() > limits.url_bytes => self.rejects.push(Outcome::FieldTooLong),
            Some(url) => found.url = url,
        }
        if found.domain.as_ref().is_some_and(|domain| domain.trim().is_empty()) {
            self.rejects.push(Outcome::FieldMissing);
        }
        found.name = name.trim().to_owned();
        if found.name.len() > limits.name_bytes {
            self.rejects.push(Outcome::FieldTooLong);
        }
        let needs = match found.name.as_str() {
            "" => true,
            "engagement" => found.numbers.0.is_none() && found.numbers.1.is_none(),
            "vitals" | "timings" if has_metrics => {
                found.name.push('!');
                found.metrics.is_empty()
            }
            _ => false,
        };
        if needs {
            self.rejects.push(Outcome::FieldMissing);
        }
        found
    }

    /// The values of these keys that are not null, the short key's first. All of them are checked, the first counts.
    fn values(&self, keys: &[&str]) -> Vec<Value> {
        keys.iter().filter_map(|key| self.members.get(*key)).filter(|value| !value.is_null()).cloned().collect()
    }

    fn text(&mut self, keys: &[&str], numbers_too: bool) -> Option<String> {
        let mut found = None;
        for value in self.values(keys) {
            match value {
                Value::String(text) => found = found.or(Some(text)),
                Value::Number(number) if numbers_too => found = found.or(Some(number.to_string())),
                _ => self.rejects.push(Outcome::FieldType),
            }
        }
        found
    }

    fn flag(&mut self, keys: &[&str]) -> Option<bool> {
        let mut found = None;
        for value in self.values(keys) {
            let flag = match value {
                Value::Bool(flag) => Some(flag),
                Value::Number(number) => match number.to_string().as_str() {
                    "0" => Some(false),
                    "1" => Some(true),
                    _ => None,
                },
                Value::String(text) => match text.as_str() {
                    "" | "0" | "false" => Some(false),
                    "1" | "true" => Some(true),
                    _ => None,
                },
                _ => None,
            };
            if flag.is_none() {
                self.rejects.push(Outcome::FieldType);
            }
            found = found.or(flag);
        }
        found
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        let number = match self.values(&[key]).pop()? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            None => self.rejects.push(Outcome::FieldType),
            Some(number) if number.is_nan() || number < 0.0 => self.rejects.push(Outcome::FieldRange),
            Some(number) => return Some(number),
        }
        None
    }

    fn small(&mut self, key: &str) -> u16 {
        let number = self.number(key).unwrap_or(0.0).round();
        if number > 65_535.0 {
            self.rejects.push(Outcome::FieldRange);
            return 0;
        }
        number as u16
    }

    fn revenue(&mut self, keys: &[&str]) -> Option<(i64, String)> {
        let mut found = None;
        for value in self.values(keys) {
            let value = match value {
                Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
                value => value,
            };
            let read = self.one_revenue(&value);
            found = found.or(read);
        }
        found
    }

    fn one_revenue(&mut self, value: &Value) -> Option<(i64, String)> {
        let Value::Object(members) = value else {
            self.rejects.push(Outcome::FieldType);
            return None;
        };
        let null = Value::Null;
        let of = |key: &str| members.get(key).unwrap_or(&null);
        let amount = match of("amount") {
            Value::Null => None,
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) => Some(text.clone()),
            _ => return self.refuse(Outcome::FieldType),
        };
        let currency = match of("currency") {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => return self.refuse(Outcome::FieldType),
        };
        let (Some(amount), Some(currency)) = (amount, currency) else { return self.refuse(Outcome::FieldMissing) };
        let Ok(amount) = amount.trim().parse::<f64>() else { return self.refuse(Outcome::FieldType) };
        let currency = currency.trim().to_uppercase();
        if !(-9e12..=9e12).contains(&amount)
            || currency.len() != 3
            || !currency.chars().all(|c| c.is_ascii_alphabetic())
        {
            return self.refuse(Outcome::FieldRange);
        }
        Some(((amount * 1e6).round() as i64, currency))
    }

    fn refuse<T>(&mut self, outcome: Outcome) -> Option<T> {
        self.rejects.push(outcome);
        None
    }

    /// Props under the key that outranks the others. Those under lower keys may be judged or not, by the order they come in.
    fn props(&mut self, limits: &PayloadLimits) -> Vec<(String, String)> {
        let Some(value) = self.values(&["m", "meta", "p", "props"]).into_iter().next() else { return Vec::new() };
        let value = match value {
            Value::String(text) if text.trim().is_empty() => return Vec::new(),
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::Bool(false)),
            value => value,
        };
        let members = match value {
            Value::Object(members) => members,
            Value::Null => return Vec::new(),
            _ => return self.refuse(Outcome::FieldType).unwrap_or_default(),
        };
        let mut props = Vec::new();
        for (key, value) in members {
            let value = match value {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => continue,
            };
            if key.is_empty() || value.is_empty() {
                continue;
            }
            if key.len() > limits.prop_key_bytes || value.len() > limits.prop_value_bytes {
                self.rejects.push(Outcome::FieldTooLong);
            }
            props.push((key, value));
        }
        props.sort();
        props
    }

    fn metrics(&mut self, found: &mut Summary) -> bool {
        match self.members.get("w").cloned() {
            None => return false,
            Some(Value::Null) => {}
            Some(Value::Number(width)) => {
                self.members.insert("sw of w".to_owned(), Value::Number(width));
                found.numbers.4 = self.small("sw of w");
                return false;
            }
            Some(Value::Object(members)) => {
                for (key, value) in members {
                    let Some(metric) = metric_of_name(key.as_bytes()) else { continue };
                    match value {
                        Value::Null => {}
                        Value::Number(number) => {
                            let largest = match key.as_str() {
                                "lcp" | "inp" | "fcp" | "ttfb" => 60_000.0,
                                "cls" => 100.0,
                                "transfer_bytes" | "transfer_size" => 1e12,
                                _ => 600_000.0,
                            };
                            let number = number.as_f64().unwrap_or(-1.0);
                            if (0.0..=largest).contains(&number) {
                                found.metrics.push((metric as u8, number as f32));
                            } else {
                                self.rejects.push(Outcome::FieldRange);
                            }
                        }
                        _ => self.rejects.push(Outcome::FieldType),
                    }
                }
                found.metrics.sort_by_key(|(metric, _)| *metric);
                assert!(found.metrics.len() <= MAX_METRICS);
            }
            Some(_) => self.rejects.push(Outcome::FieldType),
        }
        true
    }
}
