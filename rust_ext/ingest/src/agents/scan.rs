//! The direct scan: browsers of the common grammar, read in one pass without a regex.
//!
//! ```text
//! Mozilla/5.0 (<system comment>) <product>/<version> …
//! ```
//!
//! The gate is strict: a known system comment, then exactly one of the known sequences of products, each version in the form that
//! uap's rules ask for. Whatever differs, by one more word or one digit less, is not answered here. Therefore a scanned agent is
//! never a bot, and its answer equals that of the uap rules (`tests` compare both over real, generated and damaged agents).
use super::versions::{self, System};
use super::{Agent, bot};
use crate::record::Device;

/// Products after the system comment in the longest known sequence, with room to see that there is one too many.
const PRODUCTS_MAX: usize = 8;

/// `name/version`, or a bare `name`.
#[derive(Clone, Copy, Default)]
struct Product<'a> {
    name: &'a str,
    version: &'a str,
}

/// The system comment, read.
struct Comment<'a> {
    system: System<'a>,
    platform: Platform,
    /// `; wv` in an Android comment: a web view.
    is_web_view: bool,
    /// `rv:`, which only Gecko sends.
    has_revision: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Platform {
    Desktop,
    Mac,
    Phone,
    Pad,
    Android,
    /// Firefox names the class itself: `Android 16; Mobile; rv:…`.
    AndroidGecko(Device),
}

/// The answer, when the agent is of the common grammar.
pub(super) fn scan(agent: &[u8]) -> Option<Agent> {
    let text = str::from_utf8(agent).ok()?;
    let rest = text.strip_prefix("Mozilla/5.0 (")?;
    let (comment, rest) = split_comment(rest)?;
    let comment = read_comment(comment)?;
    let mut products = [Product::default(); PRODUCTS_MAX];
    let products = read_products(rest, &mut products)?;
    if comment.has_revision {
        return gecko(&comment, products);
    }
    let [webkit, products @ ..] = products else { return None };
    if webkit.name != "AppleWebKit" || !versions::is_dotted(webkit.version, 2..=3) {
        return None;
    }
    match comment.platform {
        Platform::Desktop | Platform::Mac => desktop(&comment, products),
        Platform::Android => android(&comment, products),
        Platform::Phone | Platform::Pad => apple_mobile(&comment, products),
        Platform::AndroidGecko(_) => None,
    }
}

/// The comment up to its closing parenthesis (device names may hold one more pair), and what follows it.
fn split_comment(rest: &str) -> Option<(&str, &str)> {
    let mut end = memchr::memchr(b')', rest.as_bytes())?;
    if let Some(open) = memchr::memchr(b'(', rest.get(..end)?.as_bytes()) {
        let second = end + 1 + memchr::memchr(b')', rest.get(end + 1..)?.as_bytes())?;
        let has_more = rest.get(open + 1..second)?.as_bytes().contains(&b'(');
        end = (!has_more).then_some(second)?;
    }
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

/// At the first `; `. By hand: the standard library's search for a text costs more than all the rest of the scan.
fn split_first(text: &str) -> Option<(&str, &str)> {
    let at = memchr::memchr(b';', text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?.strip_prefix(' ')?))
}

/// At the last `; `.
fn split_last(text: &str) -> Option<(&str, &str)> {
    let at = memchr::memrchr(b';', text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?.strip_prefix(' ')?))
}

fn read_comment(comment: &str) -> Option<Comment<'_>> {
    let (comment, has_revision) = match split_last(comment) {
        Some((before, last)) => match last.strip_prefix("rv:") {
            Some(revision) if versions::is_dotted(revision, 2..=2) => (before, true),
            Some(_) => return None,
            None => (comment, false),
        },
        None => (comment, false),
    };
    let (system, platform) = if let Some(rest) = comment.strip_prefix("Windows NT ") {
        let (version, rest) = split_first(rest).unwrap_or((rest, ""));
        if !matches!(rest, "" | "Win64; x64" | "WOW64") {
            return None;
        }
        (System::windows(version)?, Platform::Desktop)
    } else if let Some(version) = comment.strip_prefix("Macintosh; Intel Mac OS X ") {
        let is_version = versions::is_dotted(version, 2..=3) || versions::is_underscored(version, 2..=3);
        (is_version.then_some(System::mac())?, Platform::Mac)
    } else if let Some(rest) = comment.strip_prefix("iPhone; CPU iPhone OS ") {
        (apple_system(rest)?, Platform::Phone)
    } else if let Some(rest) = comment.strip_prefix("iPad; CPU OS ") {
        (apple_system(rest)?, Platform::Pad)
    } else if let Some(rest) = comment.strip_prefix("Linux; Android ") {
        return android_comment(rest, has_revision);
    } else if let Some(rest) = comment.strip_prefix("Android ") {
        // Only Gecko, only with a revision.
        let (version, class) = split_first(rest)?;
        let device = match class {
            "Mobile" => Device::Mobile,
            "Tablet" => Device::Tablet,
            _ => return None,
        };
        let is_version = has_revision && is_android_version(version);
        (is_version.then_some(System::android(version, false))?, Platform::AndroidGecko(device))
    } else {
        let system = match comment {
            "X11; Linux x86_64" | "X11; Linux i686" | "X11; Linux aarch64" => System::named("Linux"),
            "X11; Ubuntu; Linux x86_64" => System::named("Ubuntu"),
            _ => {
                let version = comment.strip_prefix("X11; CrOS x86_64 ")?;
                versions::is_dotted(version, 3..=3).then_some(System::named("Chrome OS"))?
            }
        };
        (system, Platform::Desktop)
    };
    Some(Comment { system, platform, is_web_view: false, has_revision })
}

/// `18_7 like Mac OS X`.
fn apple_system(rest: &str) -> Option<System<'_>> {
    let version = rest.strip_suffix(" like Mac OS X")?;
    versions::is_underscored(version, 2..=3).then(|| System::ios(version))
}

/// `10; K`, `14; SM-G991B Build/UP1A.231005.007; wv`.
fn android_comment(rest: &str, has_revision: bool) -> Option<Comment<'_>> {
    let (version, device) = split_first(rest)?;
    let (device, is_web_view) = device.strip_suffix("; wv").map_or((device, false), |device| (device, true));
    let (model, build) = split_build(device);
    let is_known = !has_revision
        && is_android_version(version)
        && model.len() <= 40
        && model.split(' ').all(is_model_word)
        && build.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'.');
    let system = is_known.then(|| System::android(version, model == "K"))?;
    Some(Comment { system, platform: Platform::Android, is_web_view, has_revision })
}

/// `SM-G991B Build/UP1A.231005.007` → model and build.
fn split_build(device: &str) -> (&str, &str) {
    let Some(space) = memchr::memrchr(b' ', device.as_bytes()) else { return (device, "") };
    let parts = device.get(..space).zip(device.get(space + 1..).and_then(|word| word.strip_prefix("Build/")));
    parts.unwrap_or((device, ""))
}

fn is_android_version(version: &str) -> bool {
    versions::is_dotted(version, 1..=3)
}

/// A word of a device's name that no rule of uap reads as a browser or system: a model code (capitals, digits and hyphens with at
/// least one digit), a short word in parentheses, or one of the frequent names.
fn is_model_word(word: &str) -> bool {
    const NAMES: [&str; 24] = [
        "K", "Pixel", "Pro", "XL", "Nexus", "moto", "g", "e", "edge", "power", "stylus", "play", "plus", "Redmi",
        "Note", "Mi", "POCO", "Max", "Plus", "Ultra", "Lite", "Infinix", "TECNO", "5G",
    ];
    if NAMES.contains(&word) {
        return true;
    }
    let inner = word.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(word);
    let mut digits = 0_usize;
    for byte in inner.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'A'..=b'Z' | b'-' => {}
            _ => return false,
        }
    }
    digits >= 1
}

/// Space-separated products; `(KHTML, like Gecko)` is left out. `None` when anything else stands there.
fn read_products<'a, 'p>(rest: &'a str, products: &'p mut [Product<'a>; PRODUCTS_MAX]) -> Option<&'p [Product<'a>]> {
    let mut count = 0_usize;
    let mut rest = rest;
    while !rest.is_empty() {
        rest = rest.strip_prefix(' ')?;
        if count == 1
            && let Some(after) = rest.strip_prefix("(KHTML, like Gecko)")
        {
            rest = after;
            continue;
        }
        let end = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        let slash = memchr::memchr(b'/', word.as_bytes());
        let (name, version) = match slash {
            Some(at) => (word.get(..at)?, word.get(at + 1..)?),
            None => (word, ""),
        };
        *products.get_mut(count)? = Product { name, version };
        count += 1;
        rest = after;
    }
    products.get(..count)
}

/// ` Gecko/20100101 Firefox/145.0`.
fn gecko(comment: &Comment<'_>, products: &[Product<'_>]) -> Option<Agent> {
    let [gecko, firefox] = products else { return None };
    let is_gecko = gecko.name == "Gecko" && (gecko.version == "20100101" || gecko.version == firefox.version);
    if !is_gecko || firefox.name != "Firefox" || !versions::is_dotted(firefox.version, 2..=2) {
        return None;
    }
    let (browser, device) = match comment.platform {
        Platform::Desktop | Platform::Mac => ("Firefox", Device::Desktop),
        Platform::AndroidGecko(device) => ("Firefox Mobile", device),
        Platform::Android | Platform::Phone | Platform::Pad => return None,
    };
    Some(answer(browser, firefox.version, comment, device))
}

fn desktop(comment: &Comment<'_>, products: &[Product<'_>]) -> Option<Agent> {
    let (browser, version) = match products {
        [chrome, safari] if chrome.is_chrome() && safari.is_safari() => ("Chrome", chrome.version),
        [chrome, safari, edge] if chrome.is_chrome() && safari.is_safari() && edge.is("Edg", 4) => {
            ("Edge", edge.version)
        }
        [chrome, safari, opera] if chrome.is_chrome() && safari.is_safari() && opera.is("OPR", 4) => {
            ("Opera", opera.version)
        }
        [samsung, chrome, safari] if samsung.is("SamsungBrowser", 2) && chrome.is_chrome() && safari.is_safari() => {
            ("Samsung Internet", samsung.version)
        }
        [version, safari] if comment.platform == Platform::Mac && version.is_version() && safari.is_safari() => {
            ("Safari", version.version)
        }
        _ => return None,
    };
    Some(answer(browser, version, comment, Device::Desktop))
}

fn android(comment: &Comment<'_>, products: &[Product<'_>]) -> Option<Agent> {
    let (browser, version, rest) = match products {
        [view, chrome, rest @ ..]
            if comment.is_web_view && view.name == "Version" && view.version == "4.0" && chrome.is_chrome() =>
        {
            ("Chrome Mobile WebView", chrome.version, rest)
        }
        _ if comment.is_web_view => return None,
        [samsung, chrome, rest @ ..] if samsung.is("SamsungBrowser", 2) && chrome.is_chrome() => {
            ("Samsung Internet", samsung.version, rest)
        }
        [chrome, rest @ ..] if chrome.is_chrome() => ("Chrome", chrome.version, rest),
        _ => return None,
    };
    let (is_mobile, rest) = match rest {
        [mobile, rest @ ..] if mobile.name == "Mobile" && mobile.version.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let device = if is_mobile { Device::Mobile } else { Device::Tablet };
    let (browser, version) = match (rest, browser) {
        ([safari], "Chrome") if safari.is_safari() => (if is_mobile { "Chrome Mobile" } else { "Chrome" }, version),
        ([safari], browser) if safari.is_safari() => (browser, version),
        ([safari, edge], "Chrome") if safari.is_safari() && edge.is("EdgA", 4) => ("Edge Mobile", edge.version),
        ([safari, opera], "Chrome") if is_mobile && safari.is_safari() && opera.is("OPR", 4) => {
            ("Opera Mobile", opera.version)
        }
        _ => return None,
    };
    Some(answer(browser, version, comment, device))
}

fn apple_mobile(comment: &Comment<'_>, products: &[Product<'_>]) -> Option<Agent> {
    let device = if comment.platform == Platform::Pad { Device::Tablet } else { Device::Mobile };
    let (browser, version, safari_version) = match products {
        [mobile] if mobile.is_apple_build() => ("Mobile Safari UI/WKWebView", "", ""),
        [version, mobile, safari] if version.is_version() && mobile.is_apple_build() && safari.is_safari() => {
            ("Mobile Safari", version.version, version.version)
        }
        // Chromium's device emulation keeps its own products under an iPhone's comment.
        [chrome, mobile, safari]
            if chrome.is_chrome() && mobile.name == "Mobile" && mobile.version.is_empty() && safari.is_safari() =>
        {
            ("Chrome Mobile", chrome.version, "")
        }
        [product, mobile, safari] if mobile.is_apple_build() && safari.is_safari() => match product.name {
            "CriOS" if versions::is_dotted(product.version, 4..=4) => ("Chrome Mobile iOS", product.version, ""),
            "GSA" if versions::is_dotted(product.version, 3..=3) => ("Google", product.version, ""),
            "FxiOS" if versions::is_dotted(product.version, 2..=2) => ("Firefox iOS", product.version, ""),
            _ => return None,
        },
        [edge, version, mobile, safari]
            if edge.is("EdgiOS", 4) && version.is_version() && mobile.is_apple_build() && safari.is_safari() =>
        {
            ("Edge Mobile", edge.version, version.version)
        }
        _ => return None,
    };
    let system = comment.system.with_safari_version(safari_version);
    Some(answer(browser, version, &Comment { system, ..*comment }, device))
}

fn answer(browser: &str, version: &str, comment: &Comment<'_>, device: Device) -> Agent {
    let mut room = versions::Room::default();
    let mut system_room = versions::Room::default();
    let version = versions::shown(version, '.', &mut room);
    let system_version = comment.system.version(&mut system_room);
    Agent::new(browser, version, comment.system.family, system_version, device, bot::NONE)
}

impl Product<'_> {
    /// This name, with this many numbers.
    fn is(&self, name: &str, numbers: usize) -> bool {
        self.name == name && versions::is_dotted(self.version, numbers..=numbers)
    }

    fn is_chrome(&self) -> bool {
        self.is("Chrome", 4)
    }

    fn is_safari(&self) -> bool {
        self.name == "Safari" && versions::is_dotted(self.version, 2..=3)
    }

    fn is_version(&self) -> bool {
        self.name == "Version" && versions::is_dotted(self.version, 2..=3)
    }

    /// `Mobile/15E148`.
    fn is_apple_build(&self) -> bool {
        self.name == "Mobile"
            && (4..=10).contains(&self.version.len())
            && self.version.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && self.version.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    const WEBKIT: &str = "AppleWebKit/537.36 (KHTML, like Gecko)";
    const APPLE: &str = "AppleWebKit/605.1.15 (KHTML, like Gecko)";

    fn read(agent: &str) -> Option<(String, String, String, String, Device)> {
        let found = scan(agent.as_bytes())?;
        assert_eq!(found.bot_reasons, bot::NONE);
        let text = str::to_owned;
        Some((
            text(found.browser()),
            text(found.browser_version()),
            text(found.os()),
            text(found.os_version()),
            found.device,
        ))
    }

    #[test]
    fn reads_the_common_grammar() {
        for (agent, browser, version, os, os_version, device) in [
            (
                format!("(Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/145.0.0.0 Safari/537.36"),
                "Chrome",
                "145",
                "Windows",
                "10 or 11",
                Device::Desktop,
            ),
            (
                format!("(Windows NT 6.1; WOW64) {WEBKIT} Chrome/109.0.0.0 Safari/537.36 Edg/109.0.1518.78"),
                "Edge",
                "109",
                "Windows",
                "7",
                Device::Desktop,
            ),
            (
                format!("(X11; Linux x86_64) {WEBKIT} Chrome/145.0.0.0 Safari/537.36 OPR/128.0.0.0"),
                "Opera",
                "128",
                "Linux",
                "",
                Device::Desktop,
            ),
            (
                format!("(X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/145.0.0.0 Safari/537.36"),
                "Chrome",
                "145",
                "Chrome OS",
                "",
                Device::Desktop,
            ),
            (
                "(X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0".into(),
                "Firefox",
                "145",
                "Ubuntu",
                "",
                Device::Desktop,
            ),
            (
                "(Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0".into(),
                "Firefox",
                "145",
                "Mac OS X",
                "",
                Device::Desktop,
            ),
            (
                "(Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0".into(),
                "Firefox Mobile",
                "145",
                "Android",
                "15",
                Device::Mobile,
            ),
            (
                format!("(Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/26.1 Safari/605.1.15"),
                "Safari",
                "26.1",
                "Mac OS X",
                "",
                Device::Desktop,
            ),
            (
                format!("(iPhone; CPU iPhone OS 18_7 like Mac OS X) {APPLE} Version/26.1 Mobile/15E148 Safari/604.1"),
                "Mobile Safari",
                "26.1",
                "iOS",
                "26.1",
                Device::Mobile,
            ),
            (
                format!("(iPad; CPU OS 17_5 like Mac OS X) {APPLE} CriOS/145.0.7444.77 Mobile/15E148 Safari/604.1"),
                "Chrome Mobile iOS",
                "145",
                "iOS",
                "17.5",
                Device::Tablet,
            ),
            (
                format!("(Linux; Android 10; K) {WEBKIT} Chrome/145.0.0.0 Mobile Safari/537.36"),
                "Chrome Mobile",
                "145",
                "Android",
                "",
                Device::Mobile,
            ),
            (
                format!("(Linux; Android 10; K) {WEBKIT} SamsungBrowser/28.0 Chrome/130.0.0.0 Safari/537.36"),
                "Samsung Internet",
                "28",
                "Android",
                "",
                Device::Tablet,
            ),
            (
                format!(
                    "(Linux; Android 14; SM-G991B Build/UP1A.231005.007; wv) {WEBKIT} Version/4.0 Chrome/145.0.7632.5 Mobile Safari/537.36"
                ),
                "Chrome Mobile WebView",
                "145",
                "Android",
                "14",
                Device::Mobile,
            ),
        ] {
            let agent = format!("Mozilla/5.0 {agent}");
            let expected = (browser.to_owned(), version.to_owned(), os.to_owned(), os_version.to_owned(), device);
            assert_eq!(read(&agent), Some(expected), "{agent}");
        }
    }

    #[test]
    fn refuses_what_differs_by_a_word() {
        for rest in [
            "Chrome/145.0.0.0 Safari/537.36 Vivaldi/7.0",
            "Chrome/145.0.0.0 Safari/537.36 GTmetrix",
            "Chrome/145.0.0.0 Safari/537.36;",
            "Chrome/145.0.0.0  Safari/537.36",
            "Chrome/145.0.0 Safari/537.36",
            "Chrome/145.0.0.0 Safari/537.36 ",
            "HeadlessChrome/145.0.0.0 Safari/537.36",
            "Chrome/145.0.0.0",
            "",
        ] {
            let agent = format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} {rest}");
            assert_eq!(read(&agent), None, "{agent}");
        }
        for comment in [
            "Windows NT 10.0; Win64; x64; Xbox",
            "Windows NT 5.0",
            "X11; FreeBSD amd64",
            "compatible; Googlebot/2.1",
            "Linux; Android 10",
        ] {
            let agent = format!("Mozilla/5.0 ({comment}) {WEBKIT} Chrome/145.0.0.0 Safari/537.36");
            assert_eq!(read(&agent), None, "{agent}");
        }
    }

    #[test]
    fn device_names_are_codes_or_known_words() {
        for word in ["SM-G991B", "K", "2201117TG", "(2022)", "moto", "5G"] {
            assert!(is_model_word(word), "{word}");
        }
        for word in ["", "Bot", "SMART-TV", "Googlebot", "AFTSS", "X1;", "x1", "()"] {
            assert!(!is_model_word(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = scan(&rest);
            let _ = scan(&[b"Mozilla/5.0 (".as_slice(), &rest].concat());
        }

        #[test]
        fn no_cut_or_changed_byte_is_read_as_something_else(at in 0_usize..110, byte in 0x20_u8..0x7F) {
            let agent = format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/145.0.0.0 Safari/537.36");
            let mut changed = agent.clone().into_bytes();
            prop_assume!(at < changed.len() && changed[at] != byte);
            changed[at] = byte;
            // A changed digit is another version of the same browser; nothing else may pass.
            let is_digit = agent.as_bytes()[at].is_ascii_digit();
            let found = scan(&changed);
            prop_assert!(found.as_ref().is_none_or(|found| is_digit && found.browser() == "Chrome"), "{found:?}");
            prop_assert!(scan(&agent.as_bytes()[..at]).is_none_or(|found| at + 1 == agent.len() && found.browser() == "Chrome"));
        }
    }
}
