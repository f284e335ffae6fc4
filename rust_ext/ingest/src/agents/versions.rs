//! Versions: their forms in agents, how they are shown, and which of them are frozen and therefore not shown.
use std::ops::RangeInclusive;

/// Longest number between dots; the longest real ones have six digits (`GSA/404.0.856692123` has nine).
const NUMBER_MAX_DIGITS: usize = 10;

/// Whether the text is numbers separated by dots, as many as the range says.
pub(super) fn is_dotted(text: &str, numbers: RangeInclusive<usize>) -> bool {
    is_separated(text, b'.', numbers)
}

/// The same with underscores, as Apple writes them.
pub(super) fn is_underscored(text: &str, numbers: RangeInclusive<usize>) -> bool {
    is_separated(text, b'_', numbers)
}

fn is_separated(text: &str, separator: u8, numbers: RangeInclusive<usize>) -> bool {
    let (mut count, mut digits) = (1_usize, 0_usize);
    for byte in text.bytes() {
        if byte.is_ascii_digit() {
            digits += 1;
            if digits > NUMBER_MAX_DIGITS {
                return false;
            }
        } else if byte == separator && digits > 0 {
            count += 1;
            digits = 0;
        } else {
            return false;
        }
    }
    digits > 0 && numbers.contains(&count)
}

/// Where a version is put together.
#[derive(Default)]
pub(super) struct Room {
    text: [u8; 24],
}

impl Room {
    fn join(&mut self, major: &str, minor: &str) -> &str {
        let len = major.len() + 1 + minor.len();
        let Some(room) = self.text.get_mut(..len) else { return "" };
        let (head, tail) = room.split_at_mut(major.len());
        head.copy_from_slice(major.as_bytes());
        if let [dot, tail @ ..] = tail {
            *dot = b'.';
            tail.copy_from_slice(minor.as_bytes());
        }
        str::from_utf8(room).unwrap_or_default()
    }
}

/// `145.0.1.2` → `145`, `26.6.1` → `26.6`: the minor number only where it says something.
pub(super) fn shown<'a>(version: &'a str, separator: char, room: &'a mut Room) -> &'a str {
    let mut numbers = version.split(separator);
    let major = numbers.next().unwrap_or_default();
    join(major, numbers.next().unwrap_or_default(), room)
}

/// The same of two numbers.
pub(super) fn join<'a>(major: &'a str, minor: &'a str, room: &'a mut Room) -> &'a str {
    if minor.is_empty() || minor.bytes().all(|digit| digit == b'0') || major.is_empty() {
        return major;
    }
    room.join(major, minor)
}

/// An operating system and what may be told of its version.
#[derive(Clone, Copy)]
pub(super) struct System<'a> {
    /// uap's family.
    pub(super) family: &'a str,
    major: &'a str,
    minor: &'a str,
}

/// What Windows NT 10.0 is: the agent has been frozen there since Windows 11.
const WINDOWS_FROZEN: &str = "10 or 11";
/// Safari 26 froze the agent's iOS at 18.6 and later at 18.7; before that `Version/` and iOS went together.
const IOS_FROZEN_MAJOR: &str = "18";
const IOS_FROZEN_MIN_MINOR: u32 = 6;
const IOS_FREEZING_SAFARI_MIN_MAJOR: u32 = 26;

impl<'a> System<'a> {
    /// A system whose version is not told.
    pub(super) fn named(family: &'a str) -> System<'a> {
        System { family, major: "", minor: "" }
    }

    /// Agents say 10.15.7 on every Mac since 2020.
    pub(super) fn mac() -> System<'a> {
        System::named("Mac OS X")
    }

    /// By the NT version; `None` for one that is not Windows on a PC.
    pub(super) fn windows(nt_version: &str) -> Option<System<'a>> {
        let (major, minor) = match nt_version {
            "10.0" => (WINDOWS_FROZEN, ""),
            "6.3" => ("8", "1"),
            "6.2" => ("8", ""),
            "6.1" => ("7", ""),
            "6.0" => ("Vista", ""),
            "5.1" => ("XP", ""),
            _ => return None,
        };
        Some(System { family: "Windows", major, minor })
    }

    /// `18_7`; see `with_safari_version`.
    pub(super) fn ios(version: &'a str) -> System<'a> {
        System::split("iOS", version, '_')
    }

    /// Reduced agents say `Android 10; K` whatever the device runs.
    pub(super) fn android(version: &'a str, is_reduced: bool) -> System<'a> {
        if is_reduced { System::named("Android") } else { System::split("Android", version, '.') }
    }

    fn split(family: &'a str, version: &'a str, separator: char) -> System<'a> {
        let mut numbers = version.split(separator);
        System { family, major: numbers.next().unwrap_or_default(), minor: numbers.next().unwrap_or_default() }
    }

    /// iOS by `Version/`, where the agent's own is frozen; without a `Version/` a possibly frozen one is unknown.
    pub(super) fn with_safari_version(self, safari: &'a str) -> System<'a> {
        let may_be_frozen = self.major == IOS_FROZEN_MAJOR && self.minor.parse().unwrap_or(0) >= IOS_FROZEN_MIN_MINOR;
        if !may_be_frozen {
            return self;
        }
        let by_safari = System::split("iOS", safari, '.');
        match by_safari.major.parse::<u32>() {
            Ok(major) if major >= IOS_FREEZING_SAFARI_MIN_MAJOR => by_safari,
            Ok(_) => self,
            Err(_) => System::named("iOS"),
        }
    }

    /// The system that uap's rules found, by the same policy.
    pub(super) fn from_uap(family: &'a str, major: &'a str, minor: &'a str, agent: &'a [u8]) -> System<'a> {
        match family {
            "Mac OS X" | "Chrome OS" => System::named(family),
            "Windows" if major == "10" => System { family, major: WINDOWS_FROZEN, minor: "" },
            "Android" if memchr::memmem::find(agent, b"Android 10; K)").is_some() => System::named(family),
            "iOS" => System { family, major, minor }.with_safari_version(safari_version(agent)),
            _ => System { family, major, minor },
        }
    }

    /// Major, and minor unless it is 0.
    pub(super) fn version<'r>(&self, room: &'r mut Room) -> &'r str
    where
        'a: 'r,
    {
        join(self.major, self.minor, room)
    }
}

/// The numbers after `Version/`.
fn safari_version(agent: &[u8]) -> &str {
    const MARK: &[u8] = b" Version/";
    let after = memchr::memmem::find(agent, MARK).and_then(|at| agent.get(at + MARK.len()..)).unwrap_or_default();
    let end = after.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(after.len());
    after.get(..end).and_then(|version| str::from_utf8(version).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use super::*;

    #[test]
    fn forms() {
        assert!(is_dotted("145.0.0.0", 4..=4) && is_dotted("5", 1..=1) && is_underscored("18_7", 2..=3));
        for text in ["", ".", "1.", ".1", "1..2", "1.2b", "12345678901", "1 "] {
            assert!(!is_dotted(text, 1..=9), "{text:?}");
        }
        assert!(!is_dotted("1.2", 3..=4) && !is_dotted("1.2.3", 1..=2));
    }

    #[test]
    fn shows_a_minor_number_only_when_it_says_something() {
        let show = |version: &str| shown(version, '.', &mut Room::default()).to_owned();
        assert_eq!(show("145.0.1.2"), "145");
        assert_eq!(show("26.6.1"), "26.6");
        assert_eq!((show("17"), show(""), show("1.00")), ("17".into(), String::new(), "1".into()));
    }

    #[test]
    fn frozen_versions_are_not_shown() {
        let show = |system: System<'_>| system.version(&mut Room::default()).to_owned();
        assert_eq!(show(System::mac()), "");
        assert_eq!(show(System::windows("10.0").unwrap()), "10 or 11");
        assert_eq!(show(System::windows("6.3").unwrap()), "8.1");
        assert_eq!(show(System::android("10", true)), "");
        assert_eq!(show(System::android("14", false)), "14");
        assert_eq!(show(System::ios("18_7").with_safari_version("26.6.1")), "26.6");
        assert_eq!(show(System::ios("18_7").with_safari_version("18.7.4")), "18.7");
        assert_eq!(show(System::ios("18_7").with_safari_version("")), "");
        assert_eq!(show(System::ios("18_5").with_safari_version("")), "18.5");
        assert_eq!(show(System::ios("26_2_1").with_safari_version("26.0")), "26.2");
    }

    #[test]
    fn uap_answers_follow_the_same_policy() {
        let show = |family: &str, major: &str, minor: &str, agent: &[u8]| {
            System::from_uap(family, major, minor, agent).version(&mut Room::default()).to_owned()
        };
        assert_eq!(show("Mac OS X", "10", "15", b""), "");
        assert_eq!(show("Windows", "10", "", b""), "10 or 11");
        assert_eq!(show("Windows", "XP", "", b""), "XP");
        assert_eq!(show("Android", "10", "", b"(Linux; Android 10; K) x"), "");
        assert_eq!(show("iOS", "18", "7", b"(iPhone) Version/26.1 Mobile"), "26.1");
        assert_eq!(show("iOS", "18", "7", b"(iPhone) FxiOS/1"), "");
    }
}
