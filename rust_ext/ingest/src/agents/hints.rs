//! Client Hints: what Chromium tells in headers since its agent is frozen. They refine an answer; they never decide alone.
//!
//! Only what the hint says better is taken: the product behind a plain `Chrome`, the version of Windows, macOS and Android, and the
//! form factor. A malformed hint counts as absent.
use super::versions::{Room, join};
use super::{Agent, bot};
use crate::record::Device;

/// The Client Hints headers of a hit, raw; a header that was not sent is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientHints<'a> {
    /// `Sec-CH-UA`: brands with major versions.
    pub brands: Option<&'a [u8]>,
    /// `Sec-CH-UA-Mobile`: `?0` or `?1`.
    pub mobile: Option<&'a [u8]>,
    /// `Sec-CH-UA-Platform`, a quoted string.
    pub platform: Option<&'a [u8]>,
    /// `Sec-CH-UA-Platform-Version`, a quoted string.
    pub platform_version: Option<&'a [u8]>,
    /// `Sec-CH-UA-Model`, a quoted string.
    pub model: Option<&'a [u8]>,
    /// `Sec-CH-UA-Full-Version-List`: brands with full versions.
    pub full_version_list: Option<&'a [u8]>,
}

impl<'a> ClientHints<'a> {
    /// Whether any hint was sent.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.brands.is_some()
            || self.mobile.is_some()
            || self.platform.is_some()
            || self.platform_version.is_some()
            || self.model.is_some()
            || self.full_version_list.is_some()
    }

    /// All hints, in the order of the fields; each cut at `HINT_MAX_BYTES`.
    pub(super) fn all(&self) -> [Option<&'a [u8]>; 6] {
        [self.brands, self.mobile, self.platform, self.platform_version, self.model, self.full_version_list]
            .map(|hint| hint.map(|value| value.get(..HINT_MAX_BYTES).unwrap_or(value)))
    }
}

/// Bytes of a hint that count: three brands with full versions take about 120.
const HINT_MAX_BYTES: usize = 256;
/// Brands in a list; browsers send three, one of them a decoy.
const BRANDS_MAX: usize = 8;

/// Products that hide behind `Chrome` in the agent: brand, uap's family on desktops, on mobiles.
const PRODUCTS: [(&str, &str, &str); 9] = [
    ("Brave", "Brave", "Brave"),
    ("Microsoft Edge", "Edge", "Edge Mobile"),
    ("Opera", "Opera", "Opera Mobile"),
    ("Opera GX", "Opera", "Opera Mobile"),
    ("Vivaldi", "Vivaldi", "Vivaldi"),
    ("YaBrowser", "Yandex Browser", "Yandex Browser"),
    ("Yandex", "Yandex Browser", "Yandex Browser"),
    ("Samsung Internet", "Samsung Internet", "Samsung Internet"),
    ("DuckDuckGo", "DuckDuckGo", "DuckDuckGo Mobile"),
];

/// Families behind which another product may hide.
const PLAIN_CHROMIUM: [&str; 3] = ["Chrome", "Chrome Mobile", "Chromium"];

/// Families of systems by platform name.
const PLATFORMS: [(&str, &str); 7] = [
    ("Windows", "Windows"),
    ("macOS", "Mac OS X"),
    ("Android", "Android"),
    ("Chrome OS", "Chrome OS"),
    ("ChromeOS", "Chrome OS"),
    ("Chromium OS", "Chrome OS"),
    ("iOS", "iOS"),
];

/// The answer with what the hints add.
pub(super) fn refine(agent: Agent, hints: &ClientHints<'_>) -> Agent {
    let [brands, mobile, platform, platform_version, model, full_version_list] = hints.all();
    let is_mobile = match mobile {
        Some(b"?1") => Some(true),
        Some(b"?0") => Some(false),
        _ => None,
    };
    let mut browser = (agent.browser(), agent.browser_version());
    let mut bot_reasons = agent.bot_reasons;
    let mut brand_room = Room::default();
    for (brand, version) in full_version_list.into_iter().chain(brands).flat_map(brand_list) {
        if brand.eq_ignore_ascii_case("HeadlessChrome") {
            bot_reasons |= bot::HEADLESS;
        }
        let known = PRODUCTS.iter().find(|(name, ..)| *name == brand);
        if let Some((_, desktop, on_mobile)) = known
            && PLAIN_CHROMIUM.contains(&browser.0)
        {
            let family = if is_mobile == Some(true) { on_mobile } else { desktop };
            let mut numbers = version.split('.');
            browser =
                (family, join(numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default(), &mut brand_room));
            break;
        }
    }
    let mut system_room = Room::default();
    let platform = platform.and_then(quoted);
    let family =
        platform.and_then(|name| PLATFORMS.iter().find(|(platform, _)| *platform == name)).map(|(_, family)| *family);
    let told_version = platform_version.and_then(quoted).unwrap_or_default();
    let system = match family {
        Some(family) => match system_version(family, told_version, &mut system_room) {
            "" if family == agent.os() => (family, agent.os_version()),
            version => (family, version),
        },
        None => (agent.os(), agent.os_version()),
    };
    let model = model.and_then(quoted).unwrap_or_default();
    let device = match (agent.device, is_mobile) {
        (Device::Bot, _) => Device::Bot,
        (Device::Unknown | Device::Desktop | Device::Tablet, Some(true)) => Device::Mobile,
        // A desktop site asked for on a phone or tablet: the agent says X11, the platform does not.
        (Device::Desktop | Device::Unknown, _) if family == Some("Android") => Device::Tablet,
        (Device::Unknown, Some(false)) => Device::Desktop,
        (device, _) => device,
    };
    let device = match device {
        Device::Mobile | Device::Tablet
            if model.contains("TV") || model.contains("BRAVIA") || model.starts_with("AFT") =>
        {
            Device::Tv
        }
        device => device,
    };
    let device = if bot_reasons == bot::NONE { device } else { Device::Bot };
    Agent::new(browser.0, browser.1, system.0, system.1, device, bot_reasons)
}

/// The version as the system's users know it.
fn system_version<'r>(family: &str, told: &'r str, room: &'r mut Room) -> &'r str {
    let mut numbers = told.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if !major.bytes().all(|byte| byte.is_ascii_digit()) || !minor.bytes().all(|byte| byte.is_ascii_digit()) {
        return "";
    }
    match family {
        // Microsoft's table: the platform version is that of a Windows API contract.
        "Windows" => match (major.parse::<u32>(), minor) {
            (Ok(0), "1") => "7",
            (Ok(0), "2") => "8",
            (Ok(0), "3") => "8.1",
            (Ok(1..=10), _) => "10",
            (Ok(13..), _) => "11",
            _ => "",
        },
        "Mac OS X" | "Android" | "iOS" => join(major, minor, room),
        _ => "",
    }
}

/// The text in a quoted string (RFC 9651), which holds no escapes in practice: with one it is refused.
fn quoted(value: &[u8]) -> Option<&str> {
    let text = str::from_utf8(value).ok()?.trim().strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains(['"', '\\'])).then_some(text)
}

/// `"Chromium";v="145", "Google Chrome";v="145"` → brands with versions. Decoys may hold any characters but no quote.
fn brand_list(value: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = str::from_utf8(value).unwrap_or_default().split('"').skip(1);
    std::iter::from_fn(move || {
        let brand = parts.next()?;
        let is_version = parts.next()?.trim_end().ends_with(";v=");
        let version = parts.next()?;
        parts.next();
        let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        (is_version && is_number).then_some((brand, version))
    })
    .take(BRANDS_MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    fn chrome(os: &str, os_version: &str, device: Device) -> Agent {
        Agent::new("Chrome", "145", os, os_version, device, bot::NONE)
    }

    fn hints<'a>(brands: &'a str, mobile: &'a str, platform: &'a str, platform_version: &'a str) -> ClientHints<'a> {
        let some = |text: &'a str| (!text.is_empty()).then_some(text.as_bytes());
        ClientHints {
            brands: some(brands),
            mobile: some(mobile),
            platform: some(platform),
            platform_version: some(platform_version),
            ..ClientHints::default()
        }
    }

    #[test]
    fn tells_windows_10_from_11() {
        let windows = chrome("Windows", "10 or 11", Device::Desktop);
        for (told, shown) in
            [("\"15.0.0\"", "11"), ("\"10.0.0\"", "10"), ("\"0.3.0\"", "8.1"), ("", "10 or 11"), ("\"x\"", "10 or 11")]
        {
            let refined = refine(windows.clone(), &hints("", "?0", "\"Windows\"", told));
            assert_eq!((refined.os(), refined.os_version()), ("Windows", shown), "{told}");
        }
    }

    #[test]
    fn tells_macos_and_android_versions() {
        let mac = refine(chrome("Mac OS X", "", Device::Desktop), &hints("", "?0", "\"macOS\"", "\"15.6.1\""));
        assert_eq!(mac.os_version(), "15.6");
        let android = refine(chrome("Android", "", Device::Tablet), &hints("", "?1", "\"Android\"", "\"16.0.0\""));
        assert_eq!((android.os_version(), android.device), ("16", Device::Mobile));
    }

    #[test]
    fn names_the_product_behind_chrome() {
        let list = "\"Not)A;Brand\";v=\"24\", \"Chromium\";v=\"145\", \"Brave\";v=\"145\"";
        let refined = refine(chrome("Windows", "10 or 11", Device::Desktop), &hints(list, "?0", "\"Windows\"", ""));
        assert_eq!((refined.browser(), refined.browser_version()), ("Brave", "145"));
        let edge = Agent::new("Edge", "144", "Windows", "", Device::Desktop, bot::NONE);
        assert_eq!(refine(edge, &hints(list, "?0", "", "")).browser(), "Edge");
        let headless = "\"HeadlessChrome\";v=\"145\"";
        let refined = refine(chrome("Linux", "", Device::Desktop), &hints(headless, "", "\"Linux\"", ""));
        assert_eq!((refined.bot_reasons, refined.device, refined.os()), (bot::HEADLESS, Device::Bot, "Linux"));
    }

    #[test]
    fn a_desktop_site_on_android_is_android() {
        let refined = refine(chrome("Linux", "", Device::Desktop), &hints("", "?0", "\"Android\"", "\"15\""));
        assert_eq!((refined.os(), refined.os_version(), refined.device), ("Android", "15", Device::Tablet));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(hint in prop::collection::vec(any::<u8>(), 0..300)) {
            let all = ClientHints {
                brands: Some(&hint), mobile: Some(&hint), platform: Some(&hint),
                platform_version: Some(&hint), model: Some(&hint), full_version_list: Some(&hint),
            };
            let agent = chrome("Windows", "10 or 11", Device::Desktop);
            prop_assert_eq!(refine(agent.clone(), &all), agent);
        }
    }
}
