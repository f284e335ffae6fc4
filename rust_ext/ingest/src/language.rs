//! The visitor's language as a short tag: language and, if told, region (`en`, `en-US`, `zh-TW`).
//!
//! Scripts, variants and extensions are left out, and the case is made uniform, so that one language is one value.

use crate::lanes::{bytes_before, text_of};
use crate::scratch::{ByteWriter, Scratch, trim};

/// The tag of what the payload says, or failing that of the first entry of `Accept-Language`; empty = unknown.
pub fn language<'a>(payload: &'a str, accept_language: Option<&'a [u8]>, scratch: &mut Scratch<'a>) -> &'a str {
    if !payload.is_empty() {
        return tag(payload, scratch);
    }
    match accept_language.map(text_of) {
        Some(Ok(header)) => {
            let end = bytes_before(header.as_bytes(), |lanes| (lanes.equal(b',') | lanes.equal(b';')).bits());
            tag(header.get(..end).unwrap_or(""), scratch)
        }
        _ => "",
    }
}

fn tag<'a>(raw: &'a str, scratch: &mut Scratch<'a>) -> &'a str {
    let raw = trim(raw);
    // By far the most usual: already in the form that is stored.
    match raw.as_bytes() {
        [a, b] if a.is_ascii_lowercase() && b.is_ascii_lowercase() => return raw,
        [a, b, b'-', c, d]
            if a.is_ascii_lowercase() && b.is_ascii_lowercase() && c.is_ascii_uppercase() && d.is_ascii_uppercase() =>
        {
            return raw;
        }
        _ => {}
    }
    let mut subtags = raw.split(['-', '_']);
    let Some(language) = subtags.next().filter(|subtag| is_language(subtag)) else {
        return "";
    };
    let region = subtags.take_while(|subtag| subtag.len() > 1).find(|subtag| is_region(subtag));
    scratch
        .write(|space| {
            let mut writer = ByteWriter::new(space);
            language.bytes().try_for_each(|byte| writer.push(byte.to_ascii_lowercase()))?;
            if let Some(region) = region {
                writer.push(b'-')?;
                region.bytes().try_for_each(|byte| writer.push(byte.to_ascii_uppercase()))?;
            }
            Some(writer.used())
        })
        .unwrap_or("")
}

fn is_language(subtag: &str) -> bool {
    (2..=3).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Two letters, or the three digits of a world region (`es-419`).
fn is_region(subtag: &str) -> bool {
    match subtag.len() {
        2 => subtag.bytes().all(|byte| byte.is_ascii_alphabetic()),
        3 => subtag.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_uniform() {
        for (payload, header, expected) in [
            ("en", None, "en"),
            ("en-US", None, "en-US"),
            ("EN-us", None, "en-US"),
            ("pt_br", None, "pt-BR"),
            ("zh-Hant-TW", None, "zh-TW"),
            ("es-419", None, "es-419"),
            ("de-DE-1996", None, "de-DE"),
            ("en-x-tw", None, "en"),
            ("fil-PH", None, "fil-PH"),
            ("de", Some("en-GB"), "de"),
            ("", Some("en-GB,en;q=0.9,de;q=0.8"), "en-GB"),
            ("", Some("fr;q=0.5"), "fr"),
            ("", Some("*"), ""),
            ("", Some(""), ""),
            ("", None, ""),
            ("english", None, ""),
            ("e", None, ""),
            ("日本", None, ""),
            ("<script>", None, ""),
        ] {
            let mut space = [0; 64];
            let found = language(payload, header.map(str::as_bytes), &mut Scratch::new(&mut space));
            assert_eq!(found, expected, "{payload:?} {header:?}");
        }
        assert_eq!(language("", Some(b"\xff\xfe"), &mut Scratch::new(&mut [])), "");
    }
}
