//! What the readers and the writer do with anything at all.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use wire::{
    InputCode,
    json::{self, Blob},
    protocol::{Parameters, Unknown},
    xml,
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    #[serde(rename = "DBName")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<i32>,
    zones: Vec<String>,
    filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    name: String,
    values: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "only filled")]
struct Everything {
    bytes: Option<Blob>,
    map: Option<BTreeMap<String, Option<f64>>>,
    small: Option<i8>,
    large: Option<u64>,
    any: Option<serde_json::Value>,
    list: Vec<Everything>,
}

fn filter() -> impl Strategy<Value = Filter> {
    (".{1,6}", prop::collection::vec(".{0,6}", 1..3))
        .prop_map(|(name, values)| Filter { name, values })
}

prop_compose! {
    fn input()(
        name in ".{0,12}",
        key in prop::option::of(".{1,12}"),
        copy in any::<Option<bool>>(),
        max in any::<Option<i32>>(),
        zones in prop::collection::vec(".{0,6}", 0..12),
        filters in prop::collection::vec(filter(), 0..3),
    ) -> Input {
        Input { name, key, copy, max, zones, filters }
    }
}

/// Form-encodes all but letters and digits, as some clients do.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            plain if plain.is_ascii_alphanumeric() => char::from(plain).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect()
}

fn as_form(input: &Input) -> Vec<String> {
    let mut pairs = vec![("DBName".to_owned(), input.name.clone())];
    let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
    if let Some(key) = &input.key {
        add("Key", key.clone());
    }
    if let Some(copy) = input.copy {
        add("Copy", copy.to_string());
    }
    if let Some(max) = input.max {
        add("Max", max.to_string());
    }
    for (at, zone) in input.zones.iter().enumerate() {
        add(&format!("Zones.member.{}", at + 1), zone.clone());
    }
    for (at, filter) in input.filters.iter().enumerate() {
        let prefix = format!("Filters.Filter.{}", 3 * at + 1);
        add(&format!("{prefix}.Name"), filter.name.clone());
        for (at, value) in filter.values.iter().enumerate() {
            add(&format!("{prefix}.Values.Value.{}", at + 1), value.clone());
        }
    }
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect()
}

/// Undoes the writer's escapes, as an XML parser would.
fn unescaped(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#13;", "\r"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

proptest! {
    #[test]
    fn a_form_is_read_back(input in input(), split in 0..20_usize) {
        let pairs = as_form(&input);
        let (query, body) = pairs.split_at(split.min(pairs.len()));
        let read = Parameters::parse(&query.join("&"), &body.join("&")).unwrap();
        prop_assert_eq!(read.get("DBName"), Some(input.name.as_str()));
        prop_assert_eq!(read.read::<Input>(), Ok(input));
    }

    #[test]
    fn json_is_read_back(input in input()) {
        let body = serde_json::to_vec(&input).unwrap();
        prop_assert_eq!(json::read::<Input>(&body, Unknown::Refuse), Ok(input));
    }

    #[test]
    fn blobs_are_read_back(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        let body = serde_json::to_vec(&[("Bytes", Blob(bytes.clone()))].into_iter()
            .collect::<BTreeMap<_, _>>()).unwrap();
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Only { bytes: Blob }
        let read = json::read::<Only>(&body, Unknown::Refuse).map(|only| only.bytes.0.clone());
        prop_assert_eq!(read, Ok(bytes));
    }

    #[test]
    fn no_form_panics(
        query in "[A-Za-z0-9.=&%+]{0,120}",
        body in ".{0,200}",
        known in prop::collection::vec(
            ("(DBName|Copy|Max|Zones|Filters|List|Map|Small|Any)(\\.(member|Filter|Name|0|1|02|[a-z])){0,5}", "[a-z0-9%+-]{0,4}"),
            0..8,
        ),
    ) {
        let known: Vec<String> = known.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for body in [body, known.join("&")] {
            if let Ok(parameters) = Parameters::parse(&query, &body) {
                let read = parameters.read::<Input>();
                if let Err(error) = read {
                    prop_assert!(!error.message().is_empty());
                }
                let _ = parameters.read::<Everything>();
            }
        }
    }

    #[test]
    fn no_body_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        text in "[\\[\\]{}:,\"\\\\a-zA-Z0-9 .eE+-]{0,120}",
        member in "(DBName|Copy|Max|Zones|Filters|List|Map|Bytes|Any)",
        value in "(null|true|1e9|-1|\"x\"|\\[\\]|\\[null\\]|\\{\\}|\\{\"a\":1\\}|\\[\\{\"Name\":\"n\"\\}\\])",
    ) {
        let known = format!("{{\"{member}\":{value}}}");
        for body in [&bytes[..], text.as_bytes(), known.as_bytes()] {
            for unknown in [Unknown::Refuse, Unknown::Ignore] {
                if let Err(error) = json::read::<Input>(body, unknown) {
                    prop_assert!(!error.message().is_empty());
                }
                let _ = json::read::<Everything>(body, unknown);
            }
        }
    }

    #[test]
    fn duplicates_never_pass(input in input(), pick in 0..40_usize) {
        let mut pairs = as_form(&input);
        let again = pairs[pick % pairs.len()].clone();
        pairs.push(again);
        let twice = Parameters::parse("", &pairs.join("&")).unwrap_err();
        prop_assert_eq!(twice.code(), InputCode::InvalidParameterCombination);
    }

    #[test]
    fn xml_text_is_read_back(text in "\\PC{0,20}[\r\n\t<>&\"]{0,3}") {
        #[derive(Serialize)]
        struct Output { #[serde(rename = "Text")] text: String }
        let answer = xml::response("A", "n", &Output { text: text.clone() }, "r");
        let (_, rest) = answer.split_once("<Text>").unwrap();
        let (inside, _) = rest.split_once("</Text>").unwrap();
        prop_assert!(!inside.contains(['<', '>', '\r', '"']));
        prop_assert_eq!(unescaped(inside), text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"));
    }
}
