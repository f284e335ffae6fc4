//! Where a visit came from: the source's name and its channel.
//!
//! The source is, in this order: what the link says of itself (`utm_source`, then `source`, then `ref`), the referrer's host, the
//! platform whose click id the link carries. A name that stands for a known host takes that host's name, so that
//! `utm_source=fb`, a referrer on l.facebook.com and a lone `fbclid` are all Facebook.
//!
//! Channel rules, first match wins. "Medium" is `utm_medium` without case; "kind" is what the rules know of the source.
//!
//! | channel | when |
//! |---|---|
//! | cross network | the campaign's name contains `cross-network` |
//! | paid shopping, search, social, video | paid, and the source is of that kind (shopping: or the campaign's name says so) |
//! | display | medium `display`, `banner`, `expandable`, `interstitial`, `cpm` |
//! | paid other | paid |
//! | AI assistant | kind, or medium `ai`, `ai-assistant` |
//! | shopping, social, video, search, e-mail, audio | kind, or the medium's usual names |
//! | affiliates, SMS, push | the medium's usual names (SMS also as source) |
//! | referral | any other source, or medium `referral`, `link`, `app` |
//! | direct | nothing of the above |
//!
//! Paid: medium `ppc`, `retargeting`, contains `cp` (`cpc`, `cpm`, …) or begins with `paid`; or a click id that only advertisements
//! carry. `fbclid`, `igshid` and `epik` are on every link that leaves those sites, so they prove nothing.

use crate::record::Channel;
use crate::rules::{Medium, Rules};
use crate::scratch::Scratch;
use crate::url::{Campaign, Referrer};

/// Where a visit came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Name of the source, empty = direct.
    pub source: &'a str,
    /// The channel.
    pub channel: Channel,
}

/// A click-id key: whose it is and whether only advertisements carry it.
struct ClickId {
    key: &'static str,
    host: &'static str,
    paid: bool,
}

/// By the platforms' documentation; the keys are those of `url`.
const CLICK_IDS: [ClickId; 15] = [
    ClickId { key: "gclid", host: "google.com", paid: true },
    ClickId { key: "gbraid", host: "google.com", paid: true },
    ClickId { key: "wbraid", host: "google.com", paid: true },
    ClickId { key: "dclid", host: "google.com", paid: true },
    ClickId { key: "gad_source", host: "google.com", paid: true },
    ClickId { key: "msclkid", host: "bing.com", paid: true },
    ClickId { key: "fbclid", host: "facebook.com", paid: false },
    ClickId { key: "igshid", host: "instagram.com", paid: false },
    ClickId { key: "ttclid", host: "tiktok.com", paid: true },
    ClickId { key: "twclid", host: "twitter.com", paid: true },
    ClickId { key: "li_fat_id", host: "linkedin.com", paid: true },
    ClickId { key: "rdt_cid", host: "reddit.com", paid: true },
    ClickId { key: "ScCid", host: "snapchat.com", paid: true },
    ClickId { key: "epik", host: "pinterest.com", paid: false },
    ClickId { key: "yclid", host: "yandex.ru", paid: true },
];

/// Short names that people write into links for well-known hosts.
const SHORT_NAMES: [(&str, &str); 16] = [
    ("fb", "facebook.com"),
    ("meta", "facebook.com"),
    ("facebook_ads", "facebook.com"),
    ("ig", "instagram.com"),
    ("insta", "instagram.com"),
    ("yt", "youtube.com"),
    ("tw", "twitter.com"),
    ("x", "twitter.com"),
    ("li", "linkedin.com"),
    ("adwords", "google.com"),
    ("googleads", "google.com"),
    ("google_ads", "google.com"),
    ("google-ads", "google.com"),
    ("bing_ads", "bing.com"),
    ("hn", "news.ycombinator.com"),
    ("openai", "chatgpt.com"),
];

/// Names the source and the channel of a visit.
pub fn origin<'r, 'a: 'r>(
    rules: &'r Rules,
    referrer: Referrer<'a>,
    campaign: &Campaign<'a>,
    scratch: &mut Scratch<'a>,
) -> Origin<'r> {
    let click_id = CLICK_IDS.iter().find(|known| !campaign.click_id.is_empty() && known.key == campaign.click_id);
    let tag = if campaign.utm_source.is_empty() { campaign.source_tag } else { campaign.utm_source };
    let (source, kind) = if !tag.is_empty() {
        source_of_tag(rules, tag, scratch)
    } else if !referrer.hostname.is_empty() {
        match rules.referrer_source(referrer.hostname) {
            Some((name, kind)) => (name, Some(kind)),
            None => (referrer.hostname, None),
        }
    } else if let Some(click_id) = click_id {
        match rules.referrer_source(click_id.host) {
            Some((name, kind)) => (name, Some(kind)),
            None => (click_id.host, None),
        }
    } else {
        ("", None)
    };
    let paid_click = click_id.is_some_and(|known| known.paid);
    Origin { source, channel: channel(source, kind, campaign, paid_click) }
}

fn source_of_tag<'r, 'a: 'r>(rules: &'r Rules, tag: &'a str, scratch: &mut Scratch<'a>) -> (&'r str, Option<Medium>) {
    let known = |host: &str| rules.referrer_source(host).map(|(name, kind)| (name, Some(kind)));
    if let Some((_, host)) = SHORT_NAMES.iter().find(|(short, _)| tag.eq_ignore_ascii_case(short)) {
        return known(host).unwrap_or((tag, None));
    }
    if tag.contains('.') {
        return known(tag).unwrap_or((tag, None));
    }
    // `google` is Google because google.com is, but `mail` is not the portal at mail.com.
    let named = scratch.concat(&[tag, ".com"]).and_then(known);
    named.filter(|(name, _)| name.eq_ignore_ascii_case(tag)).unwrap_or((tag, None))
}

fn channel(source: &str, kind: Option<Medium>, campaign: &Campaign<'_>, paid_click: bool) -> Channel {
    let medium = Words(campaign.utm_medium);
    if campaign.utm_medium.is_empty() && campaign.utm_campaign.is_empty() && !paid_click {
        return unpaid_of_kind(kind).unwrap_or(unpaid_of_source(source));
    }
    let shopping = kind == Some(Medium::Shopping) || Words(campaign.utm_campaign).contain("shop");
    let paid =
        paid_click || medium.are_one_of(&["ppc", "retargeting"]) || medium.contain("cp") || medium.begin_with("paid");
    if Words(campaign.utm_campaign).contain("cross-network") {
        return Channel::CrossNetwork;
    }
    if paid {
        match kind {
            _ if shopping => return Channel::PaidShopping,
            Some(Medium::Search) => return Channel::PaidSearch,
            Some(Medium::Social) => return Channel::PaidSocial,
            Some(Medium::Video) => return Channel::PaidVideo,
            _ => {}
        }
    }
    if medium.are_one_of(&["display", "banner", "expandable", "interstitial", "cpm"]) {
        return Channel::Display;
    }
    if paid {
        return Channel::PaidOther;
    }
    if shopping {
        return Channel::OrganicShopping;
    }
    if let Some(channel) = unpaid_of_kind(kind) {
        return channel;
    }
    unpaid_of_medium(medium).unwrap_or(unpaid_of_source(source))
}

fn unpaid_of_kind(kind: Option<Medium>) -> Option<Channel> {
    Some(match kind? {
        Medium::AiAssistant => Channel::AiAssistant,
        Medium::Shopping => Channel::OrganicShopping,
        Medium::Social => Channel::OrganicSocial,
        Medium::Video => Channel::OrganicVideo,
        Medium::Search => Channel::OrganicSearch,
        Medium::Email => Channel::Email,
        Medium::Audio => Channel::Audio,
        _ => return None,
    })
}

/// The usual values of `utm_medium` for each channel.
fn unpaid_of_medium(medium: Words<'_>) -> Option<Channel> {
    const NAMES: [(Channel, &[&str]); 9] = [
        (Channel::AiAssistant, &["ai", "ai-assistant", "ai_assistant", "llm"]),
        (Channel::OrganicSocial, &["social", "social-network", "social-media", "social_media", "social network", "sm"]),
        (Channel::OrganicVideo, &["video"]),
        (Channel::OrganicSearch, &["organic", "search"]),
        (Channel::Email, &["email", "e-mail", "e_mail", "e mail", "newsletter"]),
        (Channel::Affiliates, &["affiliate", "affiliates"]),
        (Channel::Audio, &["audio", "podcast"]),
        (Channel::Sms, &["sms"]),
        (Channel::Referral, &["referral", "app", "link"]),
    ];
    if medium.0.is_empty() {
        return None;
    }
    if medium.end_with("push") || medium.are_one_of(&["notification", "mobile"]) {
        return Some(Channel::Push);
    }
    NAMES.iter().find(|(_, names)| medium.are_one_of(names)).map(|(channel, _)| *channel)
}

/// A source that is known for nothing, by its name.
fn unpaid_of_source(source: &str) -> Channel {
    let source = Words(source);
    if source.0.is_empty() {
        Channel::Direct
    } else if source.are_one_of(&["email", "e-mail", "newsletter"]) {
        Channel::Email
    } else if source.are_one_of(&["sms"]) {
        Channel::Sms
    } else {
        Channel::Referral
    }
}

/// Text compared without ASCII case.
#[derive(Clone, Copy)]
struct Words<'a>(&'a str);

impl Words<'_> {
    fn are_one_of(self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.eq_ignore_ascii_case(name))
    }

    fn contain(self, part: &str) -> bool {
        self.0.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
    }

    fn begin_with(self, part: &str) -> bool {
        self.0.as_bytes().get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part.as_bytes()))
    }

    fn end_with(self, part: &str) -> bool {
        let start = self.0.len().checked_sub(part.len());
        start
            .and_then(|start| self.0.as_bytes().get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(part.as_bytes()))
    }
}

#[cfg(test)]
#[path = "referrer_tests.rs"]
mod tests;
