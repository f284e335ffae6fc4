//! Where a visit came from: the source's name and the acquisition channel.
//!
//! The source is the first of: `utm_source`, a `source` or `ref` value, the name of the referring host, the host itself.
//! A tag that is a known host (`google.com`) or its first label (`google`) takes the host's name, so that a source has one row.
//!
//! The channel follows the groups that web analytics agrees on: a paid marker (a paying medium, or a click id that only
//! advertisements carry) splits search, social, video and shopping into paid and organic.

use crate::record::Channel;
use crate::rules::{Medium, Rules};
use crate::scratch::{Scratch, cut};
use crate::url::{Campaign, Referrer};

/// Longest name of a source.
const SOURCE_MAX_BYTES: usize = 255;

/// Click ids that only a paid click carries. `fbclid` and `twclid` are on organic links too.
const PAID_CLICK_IDS: [&str; 6] = ["gclid", "gbraid", "wbraid", "dclid", "msclkid", "gad_source"];

/// Where a visit came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Empty = direct.
    pub source: &'a str,
    /// The acquisition channel.
    pub channel: Channel,
}

/// Names the origin of a hit.
pub fn origin<'r, 'a: 'r>(
    rules: &'r Rules,
    referrer: Referrer<'a>,
    campaign: &Campaign<'a>,
    scratch: &mut Scratch<'a>,
) -> Origin<'r> {
    let tag = if campaign.utm_source.is_empty() { campaign.source_tag } else { campaign.utm_source };
    if tag.is_empty() && referrer.hostname.is_empty() && campaign.utm_medium.is_empty() && campaign.click_id.is_empty()
    {
        return Origin { source: "", channel: Channel::Direct };
    }
    let known = if tag.is_empty() { rules.referrer_source(referrer.hostname) } else { of_tag(rules, tag, scratch) };
    let source = match known {
        Some((name, _)) => name,
        None if tag.is_empty() => referrer.hostname,
        None => cut(tag, SOURCE_MAX_BYTES),
    };
    Origin { source, channel: channel(known.map(|(_, medium)| medium), source, campaign, scratch) }
}

/// The known source that a tag means: `google.com`, or `google` for it.
fn of_tag<'r, 'a: 'r>(rules: &'r Rules, tag: &'a str, scratch: &mut Scratch<'a>) -> Option<(&'r str, Medium)> {
    let lower = scratch.lower(tag);
    if lower.contains('.') {
        return rules.referrer_source(lower);
    }
    rules.referrer_source(scratch.concat(&[lower, ".com"])?)
}

fn channel<'a>(medium: Option<Medium>, source: &str, campaign: &Campaign<'a>, scratch: &mut Scratch<'a>) -> Channel {
    let named = scratch.lower(campaign.utm_medium);
    let is_paid = is_paid_medium(named) || PAID_CLICK_IDS.contains(&campaign.click_id);
    if scratch.lower(campaign.utm_campaign).contains("cross-network") {
        return Channel::CrossNetwork;
    }
    if is_paid {
        return match medium {
            Some(Medium::Search) => Channel::PaidSearch,
            Some(Medium::Social) => Channel::PaidSocial,
            Some(Medium::Video) => Channel::PaidVideo,
            Some(Medium::Shopping) => Channel::PaidShopping,
            // A click id of a search network says by itself where it was clicked.
            _ if !campaign.click_id.is_empty() && named.is_empty() => Channel::PaidSearch,
            _ => Channel::PaidOther,
        };
    }
    match named {
        "display" | "banner" | "expandable" | "interstitial" | "cpm" => return Channel::Display,
        "social" | "social-network" | "social-media" | "sm" | "social network" | "social media" => {
            return Channel::OrganicSocial;
        }
        "video" => return Channel::OrganicVideo,
        "organic" => return Channel::OrganicSearch,
        "email" | "e-mail" | "e_mail" | "e mail" | "newsletter" | "mail" => return Channel::Email,
        "affiliate" | "affiliates" => return Channel::Affiliates,
        "audio" | "podcast" => return Channel::Audio,
        "sms" => return Channel::Sms,
        "push" | "mobile" | "notification" | "web-push" => return Channel::Push,
        _ => {}
    }
    match medium {
        Some(Medium::Search) => Channel::OrganicSearch,
        Some(Medium::Social) => Channel::OrganicSocial,
        Some(Medium::Video) => Channel::OrganicVideo,
        Some(Medium::Email) => Channel::Email,
        Some(Medium::Shopping) => Channel::OrganicShopping,
        Some(Medium::AiAssistant) => Channel::AiAssistant,
        Some(Medium::Audio) => Channel::Audio,
        _ if source.is_empty() => Channel::Direct,
        _ => Channel::Referral,
    }
}

fn is_paid_medium(medium: &str) -> bool {
    matches!(medium, "cpc" | "ppc" | "cpv" | "cpa" | "cpp" | "retargeting" | "remarketing")
        || medium.starts_with("paid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel_of(medium: Option<Medium>, source: &str, utm_medium: &str, click_id: &'static str) -> Channel {
        let mut space = [0; 256];
        let campaign = Campaign { utm_medium, click_id, ..Campaign::default() };
        channel(medium, source, &campaign, &mut Scratch::new(&mut space))
    }

    #[test]
    fn channels_follow_medium_click_id_and_source() {
        let cases = [
            (Some(Medium::Search), "Google", "", "", Channel::OrganicSearch),
            (Some(Medium::Search), "Google", "CPC", "", Channel::PaidSearch),
            (Some(Medium::Search), "Google", "", "gclid", Channel::PaidSearch),
            (None, "", "", "gclid", Channel::PaidSearch),
            (Some(Medium::Social), "Facebook", "", "fbclid", Channel::OrganicSocial),
            (Some(Medium::Social), "Facebook", "paid_social", "", Channel::PaidSocial),
            (Some(Medium::Video), "YouTube", "cpv", "", Channel::PaidVideo),
            (Some(Medium::Shopping), "Amazon", "ppc", "", Channel::PaidShopping),
            (Some(Medium::AiAssistant), "ChatGPT", "", "", Channel::AiAssistant),
            (None, "news.example", "", "", Channel::Referral),
            (None, "weekly", "newsletter", "", Channel::Email),
            (None, "partner", "affiliate", "", Channel::Affiliates),
            (None, "partner", "banner", "", Channel::Display),
            (None, "partner", "ppc", "", Channel::PaidOther),
            (None, "app", "sms", "", Channel::Sms),
            (None, "app", "push", "", Channel::Push),
            (None, "show", "podcast", "", Channel::Audio),
            (None, "x", "social", "", Channel::OrganicSocial),
            (None, "x", "video", "", Channel::OrganicVideo),
            (None, "x", "organic", "", Channel::OrganicSearch),
            (Some(Medium::Email), "Gmail", "", "", Channel::Email),
            (Some(Medium::Audio), "Spotify", "", "", Channel::Audio),
            (Some(Medium::Shopping), "Etsy", "", "", Channel::OrganicShopping),
            (Some(Medium::Video), "YouTube", "", "", Channel::OrganicVideo),
        ];
        for (medium, source, utm_medium, click_id, wanted) in cases {
            assert_eq!(channel_of(medium, source, utm_medium, click_id), wanted, "{source} {utm_medium} {click_id}");
        }
    }

    #[test]
    fn a_tag_comes_before_the_referrer_and_nothing_is_direct() {
        let rules = Rules::empty();
        let mut space = [0; 256];
        let mut scratch = Scratch::new(&mut space);
        let referrer = Referrer { hostname: "news.example", text: "news.example/a" };
        let tagged = Campaign { source_tag: "Weekly", ..Campaign::default() };
        assert_eq!(origin(&rules, referrer, &tagged, &mut scratch).source, "Weekly");
        assert_eq!(origin(&rules, referrer, &Campaign::default(), &mut scratch).source, "news.example");
        let direct = origin(&rules, Referrer::default(), &Campaign::default(), &mut scratch);
        assert_eq!(direct, Origin { source: "", channel: Channel::Direct });
    }
}
