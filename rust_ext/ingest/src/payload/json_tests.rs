//! The cursor against serde_json: the same texts are JSON, and they say the same.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// Reads a whole text into a tree, with the cursor.
fn read_tree(text: &str) -> Result<serde_json::Value, JsonError> {
    let mut space = vec![0; text.len()];
    let mut scratch = Scratch::new(&mut space);
    let mut cursor = Cursor::new(text);
    let value = cursor.value()?;
    let tree = read_rest(&mut cursor, value, &mut scratch)?;
    cursor.finish()?;
    Ok(tree)
}

fn read_rest<'a>(
    cursor: &mut Cursor<'a>,
    value: Value<'a>,
    scratch: &mut Scratch<'a>,
) -> Result<serde_json::Value, JsonError> {
    let mut first = true;
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Number(text) => serde_json::from_str(text).unwrap(),
        Value::String(raw) => raw.text(scratch).unwrap().into(),
        Value::Object => {
            let mut members = serde_json::Map::new();
            while let Some(key) = cursor.next_key(&mut first)? {
                let key = key.text(scratch).unwrap().to_owned();
                let value = cursor.value()?;
                members.insert(key, read_rest(cursor, value, scratch)?);
            }
            members.into()
        }
        Value::Array => {
            let mut elements = Vec::new();
            while cursor.next_element(&mut first)? {
                let value = cursor.value()?;
                elements.push(read_rest(cursor, value, scratch)?);
            }
            elements.into()
        }
    })
}

fn skips(text: &str) -> bool {
    let mut cursor = Cursor::new(text);
    cursor.skip_value().and_then(|()| cursor.finish()).is_ok()
}

/// Both ways of reading agree with serde_json on this text.
fn check(text: &str) {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(expected) => {
            assert_eq!(read_tree(text), Ok(expected), "{text}");
            assert!(skips(text), "{text}");
        }
        // serde_json refuses what is beyond f64 and lone surrogates; see the module's head.
        Err(error) if error.to_string().contains("out of range") || error.to_string().contains("surrogate") => {}
        Err(error) if error.to_string().contains("unexpected end of hex escape") => {}
        Err(_) => {
            assert!(read_tree(text).is_err(), "{text}");
            assert!(!skips(text), "{text}");
        }
    }
}

#[test]
fn agrees_on_the_corners_of_the_grammar() {
    for text in [
        "",
        " ",
        "null",
        "nul",
        "nulll",
        "true",
        "false",
        " \t\r\n1 ",
        "\u{b}1",
        "{}",
        "{ }",
        "[]",
        "[ ]",
        "{",
        "}",
        "[",
        "]",
        "{,}",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1,,2]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1,\"a\":2}",
        "[[[]],{}]",
        "[{]}",
        "{[}]",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1.5",
        "1e5",
        "1E+5",
        "1e-05",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "-1.5e3",
        "--1",
        "\"",
        "\"a",
        "\"a\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\/\\b\\f\\n\\r\\t\"",
        "\"\\x\"",
        "\"\\u0041\"",
        "\"\\u00e9\\u65e5\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"\\u",
        "\"\\ud83d\\ude00\"",
        "\"\n\"",
        "\"\u{1f}\"",
        "\"\u{20}\"",
        "\"\u{7f}\"",
        "\"é日😀\"",
        "'a'",
        "\"a\"b",
        "1 2",
        "12345678901234567890",
        "\"1234567\"",
        "\"12345678\"",
        "\"123456789 \u{1}\"",
        "\"aaaaaaa\\n\"",
        "[true,false,null,\"x\",-1]",
    ] {
        check(text);
    }
}

#[test]
fn nesting_has_the_same_limit() {
    for depth in [1, 2, 126, 127, 128, 129, 5_000] {
        let array = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(skips(&array), serde_json::from_str::<serde_json::Value>(&array).is_ok(), "{depth}");
        let object = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(skips(&object), depth < 128, "{depth}");
    }
}

#[test]
fn half_a_surrogate_pair_reads_as_a_replacement() {
    for (text, expected) in [
        ("\"\\ud83d\"", "\u{fffd}"),
        ("\"\\ude00\"", "\u{fffd}"),
        ("\"\\ud83d!\"", "\u{fffd}!"),
        ("\"\\ud83d\\n\"", "\u{fffd}\n"),
        ("\"\\ud83d\\u0041\"", "\u{fffd}A"),
        ("\"\\ud83d\\ud83d\\ude00\"", "\u{fffd}😀"),
        ("\"\\ude00\\ud83d\"", "\u{fffd}\u{fffd}"),
    ] {
        assert_eq!(read_tree(text), Ok(expected.into()), "{text}");
    }
}

#[test]
fn usual_decimals_are_plain() {
    for (text, expected) in [
        ("0,", Some(0.0)),
        ("1234.5}", Some(1_234.5)),
        ("0.1,", Some(0.1)),
        ("0.0123456789012,", Some(0.012_345_678_901_2)),
        ("999999999999999}", Some(999_999_999_999_999.0)),
        ("9999999999999999}", None),
        ("0.1", None),
        ("01,", None),
        ("1.,", None),
        (".5,", None),
        ("1.2.3,", None),
        ("-1,", None),
        ("1e3,", None),
        ("", None),
    ] {
        assert_eq!(Cursor::new(text).plain_decimal(), expected, "{text:?}");
    }
}

#[test]
fn an_unescaped_string_is_borrowed() {
    let mut scratch = Scratch::new(&mut []);
    let mut cursor = Cursor::new("\"plain\"");
    let Value::String(raw) = cursor.value().unwrap() else { panic!("not a string") };
    assert_eq!(raw.text(&mut scratch), Some("plain"));
}

/// Any JSON tree of moderate size.
fn any_tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[ -~\\\\\"\u{0}-\u{20}]{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map("[a-z\\\\\" ]{0,6}", inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn reads_what_serde_json_writes(tree in any_tree(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        check(&text);
    }

    #[test]
    fn agrees_on_damaged_text(tree in any_tree(), at: prop::sample::Index, to in "[ -~]") {
        let mut text = serde_json::to_string(&tree).unwrap();
        let at = at.index(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..=at, &to);
            check(&text);
            text.truncate(at);
            check(&text);
        }
    }

    #[test]
    fn agrees_on_json_like_soup(text in "[\\[\\]{},:\"\\\\u0d8e1.\\-+ tn]{0,24}") {
        check(&text);
    }

    /// Keys, strings and numbers of every length around a step, at every distance from the text's end, and one byte changed.
    #[test]
    fn short_ways_say_what_the_long_ones_say(
        key in "[a-z]{0,18}", string in "[a-zé]{0,34}", number in "0?[0-9]{1,11}", tail in "[,} ]?.{0,3}",
        at: prop::sample::Index, to in "[\"\\\\:, }\\]0\u{1}\u{7f}]",
    ) {
        let mut text = format!("{{\"{key}\":\"{string}\",\"{key}x\":{number}{tail}");
        for is_changed in [false, true] {
            if is_changed {
                let at = at.index(text.len());
                if !text.is_char_boundary(at) || !text.is_char_boundary(at + 1) { break }
                text.replace_range(at..=at, &to);
            }
            for front in 1..=text.len() {
                let Some(text) = text.get(..front) else { continue };
                check(text);
                let whole = |bytes: usize| text.get(bytes..).unwrap_or("");
                let skip = front.min(1);
                let (mut short, mut long) = (Cursor::new(whole(skip)), Cursor::new(whole(skip)));
                if let Some(found) = short.plain_key(true) {
                    let mut first = true;
                    prop_assert_eq!(long.any_key(&mut first), Ok(Some(found)));
                    prop_assert_eq!((short.at, first), (long.at, false));
                    if let Some(found) = short.plain_string() {
                        let Ok(Value::String(string)) = long.value() else { panic!("no string: {text}") };
                        prop_assert_eq!(string.text(&mut Scratch::new(&mut [])), Some(found));
                        prop_assert_eq!(short.at, long.at);
                        if let Some(found) = short.plain_key(false) {
                            prop_assert_eq!(long.any_key(&mut first), Ok(Some(found)));
                            if let Some(found) = short.plain_number() {
                                let Ok(Value::Number(number)) = long.value() else { panic!("no number: {text}") };
                                prop_assert_eq!(number.parse(), Ok(found));
                            }
                            prop_assert_eq!(short.at, long.at);
                        }
                    }
                }
                prop_assert!(short.at >= long.at);
            }
        }
    }

    #[test]
    fn plain_decimals_are_what_the_general_parser_reads(text in "-?[0-9]{0,9}[.]?[0-9]{0,9}[.e-]?", end in "[,} ]?") {
        let sent = format!("{text}{end}");
        let (mut short, mut long) = (Cursor::new(&sent), Cursor::new(&sent));
        if let Some(value) = short.plain_decimal() {
            prop_assert_eq!(long.value(), Ok(Value::Number(&text)));
            prop_assert_eq!(short.at, long.at);
            prop_assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        } else {
            prop_assert_eq!(short.at, 0);
        }
    }

    #[test]
    fn sixteen_at_a_time_equals_one_at_a_time(bytes: Vec<u8>) {
        let naive = bytes.iter().take_while(|byte| **byte >= 0x20 && **byte != b'"' && **byte != b'\\').count();
        prop_assert_eq!(bytes_before(&bytes, string_ends), naive);
    }
}
