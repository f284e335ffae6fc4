//! The rules' order, and the making of a record. See the module above for the order itself.

use std::net::IpAddr;
use std::sync::Arc;

use super::{OutcomeCounts, RecordSink, address_of};
use crate::agents::{Agent, AgentParser, ClientHints, bot};
use crate::blocks::Blocks;
use crate::drop_reason::Outcome;
use crate::lanes::{Lanes, none_is, text_of};
use crate::language::language;
use crate::payload::event::Sender;
use crate::payload::{EventName, HitFields, Page, PayloadLimits, Reject, SiteKey};
use crate::rate::RateTable;
use crate::record::{Device, EventKind, HitRecord, STRING_FIELDS, ShortRecord, StringField};
use crate::referrer::{self, Origin};
use crate::rules::Rules;
use crate::scratch::{Scratch, cut, trim};
use crate::snapshot::{Site, SiteState, Snapshot};
use crate::url::{self, Campaign, PageUrl, Referrer};
use crate::visitor;

/// How far back a supplied time may lie: as long as a replayed batch can be told from a new one.
const OLDEST_MS: i64 = 7 * 24 * 3_600 * 1_000;
/// How far ahead: clocks that are a little fast.
const NEWEST_MS: i64 = 5 * 60 * 1_000;
/// Screens narrower than this are phones, where the agent does not say: the usual CSS breakpoint.
const MOBILE_BELOW_PX: u16 = 600;
/// Screens narrower than this are tablets, where the agent does not say.
const TABLET_BELOW_PX: u16 = 1_024;
/// Longest time zone name: beyond any of the tz database.
const TIMEZONE_MAX_BYTES: usize = 64;

/// What is known of a hit besides its payload.
pub(super) struct Arrival<'a> {
    pub now_ms: i64,
    pub address: IpAddr,
    pub agent: &'a [u8],
    pub hints: ClientHints<'a>,
    pub accept_language: Option<&'a [u8]>,
    pub is_prefetch: bool,
    pub sender: Sender,
    /// Server batches: whose sites may be named.
    pub account_id: Option<u32>,
}

/// What became of a hit, over all sites that it named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// Why it is not a hit at all.
    pub reject: Option<Reject>,
    pub accepted: u32,
    pub dropped: u32,
    /// The first reason.
    pub drop_reason: Option<Outcome>,
    /// Of the first accepted record; 0 = none.
    pub visitor_id: u64,
}

/// Where a judged hit is written down: exactly one record per site.
pub(super) struct Log<'s, S> {
    pub sink: &'s mut S,
    pub counts: &'s mut OutcomeCounts,
}

impl<S: RecordSink> Log<'_, S> {
    pub fn short(&mut self, outcome: Outcome, bot_reasons: u16, site_id: u32, time_ms: i64) {
        self.counts.add(outcome);
        self.sink.append_short(&ShortRecord { outcome, bot_reasons, site_id, time_ms });
    }

    fn hit(&mut self, shard: u32, record: &HitRecord<'_>) {
        self.counts.add(Outcome::Accepted);
        self.sink.append_hit(shard, record);
    }
}

/// What the rules need besides the snapshot.
pub(super) struct Judge {
    pub agents: AgentParser,
    pub rates: RateTable,
    pub rules: Arc<Rules>,
}

/// What is the same for every site that a hit names.
struct Reading<'r, 'a> {
    page: PageUrl<'a>,
    campaign: Campaign<'a>,
    referrer: Referrer<'a>,
    origin: Origin<'r>,
    address: IpAddr,
    user_agent: &'a [u8],
    language: &'a str,
    timezone: &'a str,
}

/// Why one site does not get the hit, with the bot reasons behind it.
struct Drop(Outcome, u16);

impl Judge {
    #[allow(clippy::too_many_arguments)] // the parts of one pipeline, apart so that they can be borrowed apart
    pub fn judge<'a, S: RecordSink>(
        &mut self,
        snapshot: &Snapshot,
        arrival: &Arrival<'a>,
        decoded: Result<(), Reject>,
        fields: &HitFields<'a>,
        limits: &PayloadLimits,
        scratch: &mut Scratch<'a>,
        log: &mut Log<'_, S>,
    ) -> Verdict {
        let page = decoded.and_then(|()| read_page(fields, scratch));
        let page = match page {
            Ok(page) => page,
            Err(reject) => {
                let site = first_site(snapshot, fields, arrival, scratch);
                log.short(reject.outcome, 0, site.map_or(0, |site| site.site_id), arrival.now_ms);
                return Verdict { reject: Some(reject), ..Verdict::default() };
            }
        };
        let names = match fields.site {
            SiteKey::Domains(domains) => domains,
            SiteKey::PublicId(_) | SiteKey::PageHostname => "",
        };
        let has_comma = !none_is(names.as_bytes(), |lanes| lanes.equal(b',').bits());
        let commas = if has_comma { memchr::memchr_iter(b',', names.as_bytes()).count() } else { 0 };
        if commas >= limits.domains {
            let reject = Reject::too_long("domain");
            log.short(reject.outcome, 0, 0, arrival.now_ms);
            return Verdict { reject: Some(reject), ..Verdict::default() };
        }
        let Judge { agents, rates, rules } = self;
        let reading = read(rules, arrival, fields, page, limits, scratch);
        let mut asked = Asked { agents, rates, rules };
        let mut verdict = Verdict::default();
        let mut sites = 0_usize;
        let mut one = |site: Option<&Site>| {
            let outcome = asked.for_site(snapshot, site, arrival, fields, &reading, log);
            match outcome {
                Ok(visitor_id) => {
                    verdict.accepted += 1;
                    if verdict.visitor_id == 0 {
                        verdict.visitor_id = visitor_id;
                    }
                }
                Err(Drop(reason, bot_reasons)) => {
                    verdict.dropped += 1;
                    verdict.drop_reason.get_or_insert(reason);
                    log.short(reason, bot_reasons, site.map_or(0, |site| site.site_id), arrival.now_ms);
                }
            }
        };
        match fields.site {
            SiteKey::Domains(domain) if commas == 0 && !trim(domain).is_empty() => {
                one(find_site(snapshot, trim(domain), arrival, scratch));
            }
            SiteKey::Domains(domains) => {
                for domain in domains.split(',').map(str::trim).filter(|domain| !domain.is_empty()) {
                    one(find_site(snapshot, domain, arrival, scratch));
                    sites += 1;
                }
                if sites == 0 {
                    one(None); // nothing but commas: a site that nobody knows
                }
            }
            SiteKey::PublicId(id) => one(snapshot.site_by_public_id(id.as_bytes()).filter(owned_by(arrival))),
            SiteKey::PageHostname => {
                one(snapshot.site_by_domain(reading.page.hostname).filter(owned_by(arrival)));
            }
        }
        verdict
    }
}

/// A judge's parts, borrowed apart for the sites of one hit.
struct Asked<'j> {
    agents: &'j mut AgentParser,
    rates: &'j mut RateTable,
    rules: &'j Rules,
}

impl Asked<'_> {
    fn for_site<S: RecordSink>(
        &mut self,
        snapshot: &Snapshot,
        site: Option<&Site>,
        arrival: &Arrival<'_>,
        fields: &HitFields<'_>,
        reading: &Reading<'_, '_>,
        log: &mut Log<'_, S>,
    ) -> Result<u64, Drop> {
        let drop = |reason| Err(Drop(reason, 0));
        let Some(site) = site else { return drop(Outcome::UnknownSite) };
        match site.state {
            SiteState::Active => {}
            SiteState::Depleted => return drop(Outcome::Capacity),
            SiteState::Blocked | SiteState::Deleting | SiteState::Destroyed => return drop(Outcome::Blocked),
        }
        if fields.name == EventName::Unsupported {
            return drop(Outcome::Unsupported);
        }
        let blocks = site.blocks.as_deref();
        if let Some(reason) = blocks.and_then(|blocks| self.blocked_origin(blocks, reading.address)) {
            return drop(reason);
        }
        let now_ms = arrival.now_ms;
        // A server's batch comes all at once and is bounded by the account's plan.
        if arrival.sender == Sender::Client && !self.is_within_rates(snapshot, site, reading.address, now_ms) {
            return drop(Outcome::Rate);
        }
        if !site.allows_hostname(reading.page.hostname) {
            return drop(Outcome::Hostname);
        }
        if blocks.is_some_and(|blocks| blocks.paths.contains(reading.page.path)) {
            return drop(Outcome::BlockedPath);
        }
        let time_ms = match arrival.sender {
            Sender::Server => fields.time_ms.unwrap_or(now_ms),
            Sender::Client => now_ms,
        };
        if !(now_ms - OLDEST_MS..=now_ms + NEWEST_MS).contains(&time_ms) {
            return drop(Outcome::Timestamp);
        }
        if arrival.is_prefetch {
            return drop(Outcome::Prefetch);
        }
        let agent = self.agents.parse(reading.user_agent, &arrival.hints);
        let bot_reasons = bot_reasons(agent, fields, arrival, reading);
        if bot_reasons & site.drop_bot_mask != 0 {
            return Err(Drop(Outcome::Bot, bot_reasons));
        }
        if site.spam_filter && self.rules.is_spam_host(reading.referrer.hostname) {
            return drop(Outcome::ReferrerSpam);
        }
        // `room` and `has_salt` were asked for; without a key nobody could be told apart.
        let Some(key) = snapshot.visitor_key(site, time_ms, now_ms) else { return drop(Outcome::Timestamp) };
        let visitor_id = visitor::visitor_id(&key, site.site_id, reading.address, reading.user_agent);
        if !visitor::sample_keeps(visitor_id, site.sample_every) {
            return drop(Outcome::Sampled);
        }
        let country = self.rules.country().lookup(reading.address).unwrap_or_default();
        let record = record(site, fields, reading, agent, &country, time_ms, visitor_id, bot_reasons);
        log.hit(visitor::shard_of(site.site_id, visitor_id, snapshot.shards), &record);
        Ok(visitor_id)
    }
}

impl Asked<'_> {
    /// Why a site keeps an address out, if it does. What is stored as the country is what counts here.
    fn blocked_origin(&self, blocks: &Blocks, address: IpAddr) -> Option<Outcome> {
        if blocks.networks.contains(address) {
            return Some(Outcome::BlockedNetwork);
        }
        let is_asked = !blocks.countries.is_empty();
        let country = is_asked.then(|| self.rules.country().lookup(address)).flatten();
        country.is_some_and(|country| blocks.countries.contains(country)).then_some(Outcome::BlockedCountry)
    }

    fn is_within_rates(&mut self, snapshot: &Snapshot, site: &Site, address: IpAddr, now_ms: i64) -> bool {
        snapshot.rate_per_address.is_none_or(|rate| self.rates.allow_address(address, rate, now_ms))
            && site.rate.is_none_or(|rate| self.rates.allow_site(site.site_id, rate, now_ms))
    }
}

fn owned_by(arrival: &Arrival<'_>) -> impl Fn(&&Site) -> bool {
    let account_id = arrival.account_id;
    move |site| account_id.is_none_or(|account_id| account_id == site.account_id)
}

/// A site by its domain or its public id.
fn find_site<'s, 'a>(
    snapshot: &'s Snapshot,
    name: &'a str,
    arrival: &Arrival<'_>,
    scratch: &mut Scratch<'a>,
) -> Option<&'s Site> {
    snapshot
        .site_by_domain(url::bare_hostname(name, scratch))
        .or_else(|| snapshot.site_by_public_id(name.as_bytes()))
        .filter(owned_by(arrival))
}

/// The site that a rejected hit is counted for.
fn first_site<'s, 'a>(
    snapshot: &'s Snapshot,
    fields: &HitFields<'a>,
    arrival: &Arrival<'_>,
    scratch: &mut Scratch<'a>,
) -> Option<&'s Site> {
    match fields.site {
        SiteKey::Domains(domains) => find_site(snapshot, domains.split(',').next()?, arrival, scratch),
        SiteKey::PublicId(id) => snapshot.site_by_public_id(id.as_bytes()).filter(owned_by(arrival)),
        SiteKey::PageHostname => None,
    }
}

fn read_page<'a>(fields: &HitFields<'a>, scratch: &mut Scratch<'a>) -> Result<PageUrl<'a>, Reject> {
    let page = match fields.page {
        Page::Url(url) => url::parse(url, fields.hash_mode, scratch),
        Page::Parts { hostname, url, path_max_bytes } => url::parse_parts(hostname, url, scratch)
            .map(|page| PageUrl { path: cut(page.path, path_max_bytes), ..page }),
    };
    page.map_err(|error| Reject {
        outcome: Outcome::Url,
        field: "url",
        message: match error {
            url::UrlError::Invalid => "is not a URL of the form scheme://host/path",
            url::UrlError::Scheme => "has a scheme that no page has",
        },
    })
}

fn read<'r, 'a: 'r>(
    rules: &'r Rules,
    arrival: &Arrival<'a>,
    fields: &HitFields<'a>,
    page: PageUrl<'a>,
    limits: &PayloadLimits,
    scratch: &mut Scratch<'a>,
) -> Reading<'r, 'a> {
    let mut campaign = url::campaign(page.query, limits.utm_bytes, scratch);
    let [source, medium, name] = fields.utm_beside_url;
    for (slot, beside) in
        [(&mut campaign.utm_source, source), (&mut campaign.utm_medium, medium), (&mut campaign.utm_campaign, name)]
    {
        if slot.is_empty() {
            *slot = beside;
        }
    }
    let referrer = url::referrer(fields.referrer, page.hostname, scratch);
    let origin = referrer::origin(rules, referrer, &campaign, scratch);
    Reading {
        page,
        campaign,
        referrer,
        origin,
        address: address_of(fields, arrival),
        user_agent: match arrival.sender {
            Sender::Server => fields.user_agent.map_or(arrival.agent, str::as_bytes),
            Sender::Client => arrival.agent,
        },
        language: language(fields.language, arrival.accept_language, scratch),
        timezone: timezone(fields.timezone),
    }
}

/// A time zone's name, or nothing: what is none is not worth a dictionary entry.
fn timezone(text: &str) -> &str {
    let text = trim(text);
    let others = |lanes: Lanes| {
        let marks = lanes.equal(b'/') | lanes.equal(b'_') | lanes.equal(b'+') | lanes.equal(b'-');
        (lanes.letters() | lanes.within(b'0', b'9') | marks).missing_bits()
    };
    if text.len() <= TIMEZONE_MAX_BYTES && none_is(text.as_bytes(), others) { text } else { "" }
}

fn bot_reasons(agent: &Agent, fields: &HitFields<'_>, arrival: &Arrival<'_>, reading: &Reading<'_, '_>) -> u16 {
    if arrival.sender == Sender::Server && reading.user_agent.is_empty() {
        // A server that keeps its visitors' agents to itself says nothing against them.
        return bot::NONE;
    }
    agent.bot_reasons | if fields.webdriver { bot::WEBDRIVER } else { bot::NONE }
}

#[allow(clippy::too_many_arguments)] // each is a part of the row
fn record<'r>(
    site: &Site,
    fields: &'r HitFields<'_>,
    reading: &'r Reading<'_, '_>,
    agent: &'r Agent,
    country: &'r [u8; 2],
    time_ms: i64,
    visitor_id: u64,
    bot_reasons: u16,
) -> HitRecord<'r> {
    let (kind, event_name, is_interactive) = match fields.name {
        EventName::Pageview | EventName::Unsupported => (EventKind::Pageview, "", true),
        EventName::Custom(name) => (EventKind::Custom, name, fields.interactive.unwrap_or(true)),
        EventName::Engagement => (EventKind::Engagement, "", false),
        EventName::Vitals => (EventKind::Vitals, "", false),
        EventName::Timings => (EventKind::Timings, "", false),
    };
    let revenue = fields.revenue;
    let country = if country[0] == 0 { "" } else { text_of(country).unwrap_or("") };
    let mut strings = [""; STRING_FIELDS];
    let mut set = |field: StringField, text: &'r str| {
        if let Some(slot) = strings.get_mut(field as usize) {
            *slot = text;
        }
    };
    set(StringField::Hostname, reading.page.hostname);
    set(StringField::Path, reading.page.path);
    set(StringField::ReferrerSource, reading.origin.source);
    set(StringField::Referrer, reading.referrer.text);
    set(StringField::UtmSource, reading.campaign.utm_source);
    set(StringField::UtmMedium, reading.campaign.utm_medium);
    set(StringField::UtmCampaign, reading.campaign.utm_campaign);
    set(StringField::UtmTerm, reading.campaign.utm_term);
    set(StringField::UtmContent, reading.campaign.utm_content);
    set(StringField::ClickId, reading.campaign.click_id);
    set(StringField::Country, country);
    set(StringField::Language, reading.language);
    set(StringField::Timezone, reading.timezone);
    let [browser, browser_version, os, os_version] = agent.texts();
    set(StringField::Browser, browser);
    set(StringField::BrowserVersion, browser_version);
    set(StringField::Os, os);
    set(StringField::OsVersion, os_version);
    set(StringField::EventName, cut(event_name, usize::from(u16::MAX)));
    set(StringField::RevenueCurrency, revenue.map_or("", |revenue| revenue.currency));
    HitRecord {
        kind,
        bot_reasons,
        site_id: site.site_id,
        time_ms,
        visitor_id,
        load_id: fields.load_id,
        engaged_ms: fields.engaged_ms.unwrap_or(0),
        screen_width_px: fields.screen_width_px,
        screen_height_px: fields.screen_height_px,
        sample_weight: site.sample_every.max(1),
        device: device(agent.device, fields.screen_width_px),
        channel: reading.origin.channel,
        scroll_depth_percent: fields.scroll_depth_percent,
        interactive: is_interactive,
        retention_class: site.retention_class,
        sequence: fields.sequence,
        revenue_micros: revenue.map_or(0, |revenue| revenue.amount_micros),
        strings,
        props: fields.props.as_slice(),
        metrics: fields.metrics.as_slice(),
    }
}

/// The agent's device, or what the screen's width suggests.
fn device(of_agent: Device, screen_width_px: u16) -> Device {
    match (of_agent, screen_width_px) {
        (Device::Unknown, 0) => Device::Unknown,
        (Device::Unknown, width) if width < MOBILE_BELOW_PX => Device::Mobile,
        (Device::Unknown, width) if width < TABLET_BELOW_PX => Device::Tablet,
        (Device::Unknown, _) => Device::Desktop,
        (known, _) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn time_zones_are_words(text in "[A-Za-z0-9/_+-]{0,40}", more in "\\PC?", more_again in "[A-Z/_-]{0,30}") {
            let text = format!("{text}{more}{more_again}");
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
            let is_word = text.trim().len() <= TIMEZONE_MAX_BYTES && text.trim().bytes().all(fits);
            prop_assert_eq!(timezone(&text), if is_word { text.trim() } else { "" });
        }
    }
}
