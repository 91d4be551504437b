//! A JSON object that fills any `Deserialize` type that a form can fill too.
//!
//! It does not know which members an action has. A member given twice is refused at every
//! level; `null` counts as absent; an empty body counts as `{}`. Numbers, booleans and strings
//! are taken as such and never turned into each other.
mod blob;
mod tree;

use serde::de::DeserializeOwned;

pub(super) use self::tree::Tree;
pub use self::{
    blob::Blob,
    tree::{DEPTH_MAX, VALUES_MAX},
};
use super::{
    input::InputError,
    node::{Unknown, fill},
};

/// Fills `T` from a body.
///
/// # Errors
/// What is not JSON, too much or too deep; the first member that is there twice, is missing,
/// unknown, or not what `T` wants.
pub fn read<T: DeserializeOwned>(body: &[u8], unknown: Unknown) -> Result<T, InputError> {
    fill(&Tree::parse(body)?, unknown)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::InputCode;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Input {
        name: String,
        copy_tags: Option<bool>,
        max: Option<u8>,
        wait: Option<f64>,
        tags: Vec<Tag>,
        context: BTreeMap<String, String>,
        plain: Option<Blob>,
        mode: Option<Mode>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tag {
        key: String,
        value: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Manual,
    }

    fn read(body: &str) -> Result<Input, InputError> {
        super::read(body.as_bytes(), Unknown::Refuse)
    }

    #[track_caller]
    fn refused(body: &str, code: InputCode, message: &str) {
        let error = read(body).unwrap_err();
        assert_eq!((error.code(), error.message().as_str()), (code, message));
    }

    #[test]
    fn members_are_read_as_such() {
        let input = read(
            r#"{"Action": "X", "Version": 1, "Name": "n", "CopyTags": true, "Max": 255,
                "Wait": -1, "Tags": [{"Key": "k", "Value": null}, {"Key": "", "Value": ""}],
                "Context": {"any": "thing"}, "Plain": "AAH/", "Mode": "manual"}"#,
        );
        let input = input.unwrap();
        assert_eq!((input.copy_tags, input.max), (Some(true), Some(255)));
        assert_eq!(input.wait, Some(-1.0));
        assert_eq!(input.tags[0].value, None);
        assert_eq!(input.tags[1].value.as_deref(), Some(""));
        assert_eq!(input.context["any"], "thing");
        assert_eq!(input.plain, Some(Blob(vec![0, 1, 255])));
        assert_eq!(input.mode, Some(Mode::Manual));
        for empty in ["", " \n", "{}", r#"{"Name": null, "Tags": null}"#] {
            assert_eq!(read(empty).unwrap(), Input::default(), "{empty}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (invalid, other) = (InputCode::InvalidParameterValue, InputCode::ValidationError);
        refused(
            r#"{"CopyTags": "true"}"#,
            invalid,
            "Invalid value: expected a boolean for CopyTags, not a string.",
        );
        refused(
            r#"{"Name": 12345}"#,
            invalid,
            "Invalid value: expected a string for Name, not a number.",
        );
        refused(
            r#"{"Max": 256}"#,
            invalid,
            "Invalid value: expected a whole number from 0 to 255 for Max, not 256.",
        );
        refused(
            r#"{"Max": 1.5}"#,
            invalid,
            "Invalid value: expected a whole number from 0 to 255 for Max, not 1.5.",
        );
        refused(
            r#"{"Tags": {"Key": "k"}}"#,
            invalid,
            "Invalid value: expected a list for Tags, not an object.",
        );
        refused(
            r#"{"Tags": [{"Key": "k"}, null]}"#,
            invalid,
            "Invalid value: expected an object for Tags[1], not null.",
        );
        refused(
            r#"{"Plain": "A"}"#,
            invalid,
            "Invalid value for Plain: it is not base64 with padding.",
        );
        refused(
            r#"{"Mode": "x"}"#,
            invalid,
            "Invalid value: expected one of manual for Mode, not 'x'.",
        );
        refused(
            "[]",
            invalid,
            "Invalid value: expected an object for the request, not a list.",
        );
        refused(
            r#"{"Tags": [{"Value": "v"}]}"#,
            InputCode::MissingParameter,
            "The request must contain the parameter Tags[0].Key.",
        );
        refused(
            r#"{"Tags": [{"Key": "k", "Valu": null}]}"#,
            other,
            "The member Tags[0].Valu is not known to this action.",
        );
        refused(
            r#"{"name": "n"}"#,
            other,
            "The member name is not known to this action.",
        );
        refused(
            r#"{"Tags": [{"Key": "k", "Action": "x"}]}"#,
            other,
            "The member Tags[0].Action is not known to this action.",
        );
    }

    #[test]
    fn a_member_is_there_once_at_every_level() {
        let code = InputCode::InvalidParameterCombination;
        refused(
            r#"{"Name": "a", "Name": "a"}"#,
            code,
            "The parameter Name is given twice.",
        );
        refused(
            r#"{"Tags": [{"Key": "k"}, {"Key": "k", "\u004bey": "k"}]}"#,
            code,
            "The parameter Tags[1].Key is given twice.",
        );
        let ignored = super::read::<Input>(br#"{"x": {"a": 1, "a": 1}}"#, Unknown::Ignore);
        assert_eq!(ignored.unwrap_err().code(), code);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in [
            "{",
            "{\"Name\": 'a'}",
            "{} {}",
            "nul",
            "{\"Name\": \"\u{1}\"}",
            "[1e999]",
        ] {
            let error = read(body).unwrap_err();
            assert!(
                matches!(error, InputError::NotJson { line: 1, .. }),
                "{body}: {error}"
            );
        }
        assert!(super::read::<Input>(b"{\"Name\": \"\xff\"}", Unknown::Refuse).is_err());
    }

    #[test]
    fn bounds_hold() {
        let deep =
            |levels: usize| format!("{{\"x\": {}{}}}", "[".repeat(levels), "]".repeat(levels));
        let ignoring = |body: String| super::read::<Input>(body.as_bytes(), Unknown::Ignore);
        assert!(ignoring(deep(DEPTH_MAX - 1)).is_ok());
        for levels in [DEPTH_MAX, 100_000] {
            let error = ignoring(deep(levels)).unwrap_err();
            assert!(matches!(error, InputError::TooDeep { .. }), "{error}");
        }
        let wide = |items: usize| format!("{{\"x\": [{}0]}}", "0,".repeat(items - 1));
        assert!(ignoring(wide(VALUES_MAX - 1)).is_ok());
        let limit = VALUES_MAX;
        assert_eq!(
            ignoring(wide(VALUES_MAX)),
            Err(InputError::TooMany { limit })
        );
    }

    #[test]
    fn blobs_are_base64_and_silent() {
        let blob = Blob(vec![0, 1, 255]);
        assert_eq!(serde_json::to_string(&blob).unwrap(), r#""AAH/""#);
        assert_eq!(format!("{blob:?}"), "Blob(3 bytes)");
    }
}
