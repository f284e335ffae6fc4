//! Sources and channels, by table.
#![allow(clippy::unwrap_used)]

use super::*;

fn rules() -> std::sync::Arc<Rules> {
    let sources = [
        ["google.*", "Google", "search"],
        ["bing.com", "Bing", "search"],
        ["facebook.com", "Facebook", "social"],
        ["instagram.com", "Instagram", "social"],
        ["linkedin.com", "LinkedIn", "social"],
        ["youtube.com", "YouTube", "video"],
        ["amazon.*", "Amazon", "shopping"],
        ["mail.google.com", "Gmail", "email"],
        ["mail.com", "mail.com", "email"],
        ["chatgpt.com", "ChatGPT", "ai_assistant"],
        ["spotify.com", "Spotify", "audio"],
        ["docs.google.com", "Google Docs", "other"],
    ];
    Rules::of_referrers(&sources, &[]).unwrap()
}

fn of(referrer_hostname: &'static str, campaign: Campaign<'static>) -> (String, Channel) {
    let (rules, mut space) = (rules(), [0; 256]);
    let space: &mut [u8] = &mut space;
    let mut scratch = Scratch::new(space);
    let referrer = Referrer { hostname: referrer_hostname, text: referrer_hostname };
    let found = origin(&rules, referrer, &campaign, &mut scratch);
    (found.source.to_owned(), found.channel)
}

const NONE: Campaign<'static> = Campaign {
    utm_source: "",
    utm_medium: "",
    utm_campaign: "",
    utm_term: "",
    utm_content: "",
    source_tag: "",
    click_id: "",
};

#[test]
fn referrers_without_a_campaign() {
    for (hostname, source, channel) in [
        ("", "", Channel::Direct),
        ("google.co.uk", "Google", Channel::OrganicSearch),
        ("l.facebook.com", "Facebook", Channel::OrganicSocial),
        ("youtube.com", "YouTube", Channel::OrganicVideo),
        ("amazon.de", "Amazon", Channel::OrganicShopping),
        ("mail.google.com", "Gmail", Channel::Email),
        ("chatgpt.com", "ChatGPT", Channel::AiAssistant),
        ("open.spotify.com", "Spotify", Channel::Audio),
        ("docs.google.com", "Google Docs", Channel::Referral),
        ("blog.example", "blog.example", Channel::Referral),
    ] {
        assert_eq!(of(hostname, NONE), (source.to_owned(), channel), "{hostname}");
    }
}

#[test]
fn tags_name_the_source_before_the_referrer_does() {
    for (tag, source, channel) in [
        ("Weekly", "Weekly", Channel::Referral),
        ("google", "Google", Channel::OrganicSearch),
        ("FB", "Facebook", Channel::OrganicSocial),
        ("www.chatgpt.com", "ChatGPT", Channel::AiAssistant),
        ("partner.example", "partner.example", Channel::Referral),
        ("mail", "mail", Channel::Referral), // not the portal at mail.com
        ("newsletter", "newsletter", Channel::Email),
        ("SMS", "SMS", Channel::Sms),
    ] {
        let wanted = (source.to_owned(), channel);
        assert_eq!(of("bing.com", Campaign { utm_source: tag, ..NONE }), wanted, "utm_source={tag}");
        assert_eq!(of("bing.com", Campaign { source_tag: tag, ..NONE }), wanted, "ref={tag}");
    }
    assert_eq!(of("", Campaign { utm_source: "a", source_tag: "b", ..NONE }).0, "a");
}

#[test]
fn click_ids_name_a_source_and_some_prove_payment() {
    for (hostname, click_id, source, channel) in [
        ("", "gclid", "Google", Channel::PaidSearch),
        ("google.de", "gclid", "Google", Channel::PaidSearch),
        ("youtube.com", "gclid", "YouTube", Channel::PaidVideo),
        ("blog.example", "gclid", "blog.example", Channel::PaidOther),
        ("", "msclkid", "Bing", Channel::PaidSearch),
        ("", "li_fat_id", "LinkedIn", Channel::PaidSocial),
        ("", "fbclid", "Facebook", Channel::OrganicSocial),
        ("", "igshid", "Instagram", Channel::OrganicSocial),
        ("", "ttclid", "tiktok.com", Channel::PaidOther), // not in these rules
    ] {
        assert_eq!(of(hostname, Campaign { click_id, ..NONE }), (source.to_owned(), channel), "{hostname} {click_id}");
    }
    for known in &CLICK_IDS {
        assert!(!known.key.is_empty() && known.host.contains('.'));
    }
}

#[test]
fn mediums_and_campaigns_split_the_channels() {
    for (source, medium, campaign, channel) in [
        ("google", "CPC", "", Channel::PaidSearch),
        ("facebook", "paid_social", "", Channel::PaidSocial),
        ("youtube", "cpv", "", Channel::PaidVideo),
        ("amazon", "ppc", "", Channel::PaidShopping),
        ("google", "cpc", "Holiday Shop 2026", Channel::PaidShopping),
        ("google", "cpc", "eu-Cross-Network-1", Channel::CrossNetwork),
        ("partner", "cpm", "", Channel::Display),
        ("partner", "banner", "", Channel::Display),
        ("partner", "retargeting", "", Channel::PaidOther),
        ("partner", "", "spring shopping", Channel::OrganicShopping),
        ("partner", "Social-Media", "", Channel::OrganicSocial),
        ("partner", "video", "", Channel::OrganicVideo),
        ("partner", "organic", "", Channel::OrganicSearch),
        ("weekly", "E-Mail", "", Channel::Email),
        ("partner", "affiliate", "", Channel::Affiliates),
        ("show", "podcast", "", Channel::Audio),
        ("app", "sms", "", Channel::Sms),
        ("app", "web-push", "", Channel::Push),
        ("app", "notification", "", Channel::Push),
        ("partner", "ai", "", Channel::AiAssistant),
        ("partner", "referral", "", Channel::Referral),
        ("", "referral", "", Channel::Referral),
        ("partner", "something", "", Channel::Referral),
        ("", "something", "", Channel::Direct),
        ("chatgpt.com", "", "autumn", Channel::AiAssistant),
    ] {
        let found = of("", Campaign { utm_source: source, utm_medium: medium, utm_campaign: campaign, ..NONE });
        assert_eq!(found.1, channel, "{source} {medium} {campaign}");
    }
}
