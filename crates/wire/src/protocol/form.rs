//! Form-encoded parameters whose names have dots, as AWS Query sends them.
//!
//! It does not know which parameters an action has; those that no one asks for are ignored.
//!
//! - A list is `X.member.N`, `X.Name.N` with any one name, or `X.N`, with N from 1, in numeric
//!   order, gaps allowed; `X=` is the empty list.
//! - `X=` is `None` for an `Option`, and the empty string for a `String`.
//! - Booleans are `true` and `false` in any case.
use std::collections::{BTreeMap, btree_map::Entry};

use serde::de::DeserializeOwned;

use super::{
    input::{InputError, ReadError},
    node::{Item, ItemName, Looks, Members, Node, Unknown, fill},
};
use crate::{
    echo::{cut, quoted},
    percent,
};

/// The most parameters in one request; RDS's largest has a few hundred.
pub const PARAMETERS_MAX: usize = 4_096;
/// The most segments of one name; `Filters.Filter.1.Values.Value.2` has six.
pub const DEPTH_MAX: usize = 8;

/// A request's parameters.
#[derive(Clone, Default)]
pub struct Parameters {
    root: Field,
}

/// A name's value, and the names below it. Having both is wrong only where either is read.
#[derive(Clone, Default)]
pub(super) struct Field {
    value: Option<String>,
    children: BTreeMap<String, Field>,
}

impl std::fmt::Debug for Parameters {
    /// Shows names only: values may be passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Parameters")
            .field(&self.root.children.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Parameters {
    /// Reads the parameters of a query string (without `?`) and a form body as one set.
    ///
    /// # Errors
    /// A parameter given twice in either or both, a broken escape, text that is not UTF-8,
    /// over [`PARAMETERS_MAX`] parameters, names of over [`DEPTH_MAX`] segments.
    pub fn parse(query: &str, body: &str) -> Result<Self, InputError> {
        let mut root = Field::default();
        let pairs = query.split('&').chain(body.split('&'));
        for (count, pair) in pairs.filter(|pair| !pair.is_empty()).enumerate() {
            if count == PARAMETERS_MAX {
                return Err(InputError::TooMany {
                    limit: PARAMETERS_MAX,
                });
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            root.plant(decode(name, name)?, decode(name, value)?)?;
        }
        Ok(Self { root })
    }

    /// A parameter's value by its whole name, such as `Action`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let node = name
            .split('.')
            .try_fold(&self.root, |node, segment| node.children.get(segment))?;
        node.value.as_deref()
    }

    /// The tree, for a request's input.
    pub(super) fn into_node(self) -> Box<dyn Node> {
        Box::new(self.root)
    }

    /// Fills `T`.
    ///
    /// # Errors
    /// The first parameter that is missing or is not what `T` wants.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        fill(&self.root, Unknown::Ignore)
    }
}

fn decode(name: &str, text: &str) -> Result<String, InputError> {
    let wrong = |problem| InputError::Encoding {
        parameter: cut(name),
        problem,
    };
    let bytes = percent::decode(text).map_err(|_| wrong("has a broken percent escape"))?;
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))
}

impl Field {
    /// A value that stands alone.
    pub(super) fn of(value: String) -> Self {
        Self {
            value: Some(value),
            ..Self::default()
        }
    }

    fn plant(&mut self, name: String, value: String) -> Result<(), InputError> {
        if DEPTH_MAX < name.split('.').count() {
            return Err(InputError::TooDeep {
                parameter: cut(&name),
                limit: DEPTH_MAX,
            });
        }
        let node = name.split('.').fold(self, |node, segment| {
            node.children.entry(segment.to_owned()).or_default()
        });
        if node.value.replace(value).is_some() {
            return Err(InputError::Twice {
                parameter: cut(&name),
            });
        }
        Ok(())
    }

    /// Whether this is `X=`.
    fn is_blank(&self) -> bool {
        self.children.is_empty() && self.value.as_deref() == Some("")
    }

    fn below(&self, expected: &str) -> Result<&BTreeMap<String, Field>, ReadError> {
        match &self.value {
            None => Ok(&self.children),
            Some(_) if self.is_blank() => Ok(&self.children),
            Some(text) if self.children.is_empty() => {
                Err(ReadError::malformed(quoted(text), expected))
            }
            Some(_) => Err(ReadError::malformed("a value and a structure", expected)),
        }
    }
}

/// A list item's index: a whole number from 1.
fn index(name: &str) -> Option<u32> {
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|&index| digits && 0 < index)
}

impl Node for Field {
    fn text(&self) -> Result<&str, ReadError> {
        match &self.value {
            Some(text) if self.children.is_empty() => Ok(text),
            Some(_) => Err(ReadError::malformed(
                "a value and a structure",
                "a single value",
            )),
            None => Err(ReadError::malformed("a structure", "a single value")),
        }
    }

    fn boolean(&self) -> Result<bool, ReadError> {
        let text = self.text()?;
        if text.eq_ignore_ascii_case("true") {
            Ok(true)
        } else if text.eq_ignore_ascii_case("false") {
            Ok(false)
        } else {
            Err(ReadError::malformed(quoted(text), "a boolean"))
        }
    }

    fn whole(&self, least: i128, most: i128) -> Result<i128, ReadError> {
        let text = self.text()?;
        // A type without a sign has no `-0` either.
        let unsigned = least == 0;
        text.parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .filter(|_| !(unsigned && text.starts_with('-')))
            .ok_or_else(|| {
                let from = if unsigned { " from 0" } else { "" };
                ReadError::malformed(quoted(text), format!("a whole number{from}"))
            })
    }

    fn float(&self) -> Result<f64, ReadError> {
        let text = self.text()?;
        let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| ReadError::malformed(quoted(text), "a number"))
    }

    fn members(&self) -> Result<Members<'_>, ReadError> {
        let below = self.below("a structure")?.iter();
        Ok(Box::new(
            below.map(|(name, field)| (name.as_str(), field as &dyn Node)),
        ))
    }

    fn items(&self) -> Result<Vec<Item<'_>>, ReadError> {
        let mut prefix = String::new();
        let mut members = self.below("a list")?;
        if members.len() == 1
            && let Some((name, only)) = members.first_key_value()
            && index(name).is_none()
        {
            members = only.below("a list").map_err(|error| error.under(name))?;
            prefix = format!("{name}.");
        }
        let mut items = BTreeMap::new();
        for (name, field) in members {
            let Some(index) = index(name) else {
                let wrong = ReadError::malformed(quoted(name), "a number from 1 as an index");
                return Err(wrong);
            };
            match items.entry(index) {
                Entry::Vacant(free) => free.insert(Item {
                    name: ItemName::Name(format!("{prefix}{name}")),
                    node: field,
                }),
                // `1` and `01`.
                Entry::Occupied(_) => {
                    return Err(ReadError::twice().under(&format!("{prefix}{name}")));
                }
            };
        }
        Ok(items.into_values().collect())
    }

    fn looks(&self) -> Looks {
        if self.children.is_empty() {
            Looks::Text
        } else {
            Looks::Structure
        }
    }

    fn is_none(&self) -> bool {
        self.is_blank()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::InputCode;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Input {
        name: String,
        key: Option<String>,
        copy: Option<bool>,
        max: Option<i32>,
        zones: Vec<String>,
        tags: Vec<Tag>,
        filters: Vec<Filter>,
        mode: Option<Mode>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tag {
        key: String,
        value: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Filter {
        name: String,
        #[serde(default)]
        values: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Manual,
        Automated,
    }

    fn read(body: &str) -> Result<Input, InputError> {
        Parameters::parse("", body)?.read()
    }

    #[track_caller]
    fn refused(body: &str, code: InputCode, message: &str) {
        let error = read(body).unwrap_err();
        assert_eq!((error.code(), error.message().as_str()), (code, message));
    }

    #[test]
    fn a_captured_request_is_read() {
        let body = "Action=DescribeDBClusterSnapshots&Version=2014-10-31\
             &Filters.Filter.1.Name=db-cluster-snapshot-id&Filters.Filter.1.Values.Value.1=a\
             &Filters.Filter.1.Values.Value.2=b&Filters.Filter.2.Name=engine\
             &Filters.Filter.2.Values.Value.1=aurora-mysql&Max=20&Copy=True&Mode=manual";
        let input = read(body).unwrap();
        assert_eq!(input.filters.len(), 2);
        assert_eq!(input.filters[0].values, ["a", "b"]);
        assert_eq!(input.filters[1].name, "engine");
        assert_eq!((input.max, input.copy), (Some(20), Some(true)));
        assert_eq!(input.mode, Some(Mode::Manual));
    }

    #[test]
    fn lists_have_many_spellings() {
        for body in [
            "Zones.member.2=b&Zones.member.1=a&Zones.member.10=c",
            "Zones.AvailabilityZone.10=c&Zones.AvailabilityZone.2=b&Zones.AvailabilityZone.1=a",
            "Zones.10=c&Zones.7=b&Zones.1=a",
        ] {
            assert_eq!(read(body).unwrap().zones, ["a", "b", "c"], "{body}");
        }
        assert_eq!(read("Zones=&Tags=").unwrap(), Input::default());
        assert_eq!(read("Zones.member=").unwrap().zones, Vec::<String>::new());
        let tags = read("Tags.Tag.1.Key=a+b&Tags.Tag.1.Value=&Tags.member.2.Key=c");
        assert!(tags.is_err(), "two item names in one list");
    }

    #[test]
    fn an_empty_option_is_absent_and_an_empty_string_is_not() {
        let input = read("Name=&Key=&Copy=&Max=&Mode=").unwrap();
        assert_eq!(input, Input::default());
        assert_eq!(read("Name").unwrap().name, "");
    }

    #[test]
    fn both_halves_are_one_set() {
        let both = Parameters::parse("Action=A&Key=k%2Fx", "Name=a+b&Unknown.1.x=1").unwrap();
        assert_eq!(both.get("Action"), Some("A"));
        assert_eq!(both.get("Unknown.1.x"), Some("1"));
        assert_eq!(both.get("Unknown"), None);
        let input: Input = both.read().unwrap();
        assert_eq!(
            (input.name.as_str(), input.key.as_deref()),
            ("a b", Some("k/x"))
        );
        let twice = Parameters::parse("Action=A", "Action=A").unwrap_err();
        assert_eq!(twice.code(), InputCode::InvalidParameterCombination);
        refused(
            "Name=a&Name=a",
            InputCode::InvalidParameterCombination,
            "The parameter Name is given twice.",
        );
        refused(
            "Zones.1=a&Zones.01=a",
            InputCode::InvalidParameterCombination,
            "The parameter Zones.1 is given twice.",
        );
    }

    #[test]
    fn what_is_wrong_is_named_as_the_caller_wrote_it() {
        let (missing, invalid) = (
            InputCode::MissingParameter,
            InputCode::InvalidParameterValue,
        );
        refused(
            "Filters.Filter.3.Values.Value.1=x",
            missing,
            "The request must contain the parameter Filters.Filter.3.Name.",
        );
        refused(
            "Copy=yes",
            invalid,
            "Invalid value: expected a boolean for Copy, not 'yes'.",
        );
        refused(
            "Max=2147483648",
            invalid,
            "Invalid value: expected a whole number for Max, not '2147483648'.",
        );
        refused(
            "Zones=a",
            invalid,
            "Invalid value: expected a list for Zones, not 'a'.",
        );
        refused(
            "Zones.member.0=a",
            invalid,
            "Invalid value: expected a number from 1 as an index for Zones, not '0'.",
        );
        refused(
            "Name.x=1",
            invalid,
            "Invalid value: expected a single value for Name, not a structure.",
        );
        refused(
            "Tags.1=x",
            invalid,
            "Invalid value: expected a structure for Tags.1, not 'x'.",
        );
        refused(
            "Tags=x&Tags.Tag.1.Key=k",
            invalid,
            "Invalid value: expected a list for Tags, not a value and a structure.",
        );
        refused(
            "Mode=x",
            invalid,
            "Invalid value: expected one of manual, automated for Mode, not 'x'.",
        );
    }

    #[test]
    fn broken_text_is_refused() {
        for (body, problem) in [
            ("Name=%4", "Name has a broken percent escape."),
            ("Name=%FF", "Name is not UTF-8."),
            ("%zz=1", "%zz has a broken percent escape."),
        ] {
            refused(body, InputCode::MalformedQueryString, problem);
        }
    }

    #[test]
    fn bounds_hold() {
        let many = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|i| format!("P{i}=")).collect();
            Parameters::parse("", &pairs.join("&")).map(drop)
        };
        assert_eq!(many(PARAMETERS_MAX), Ok(()));
        let limit = PARAMETERS_MAX;
        assert_eq!(many(PARAMETERS_MAX + 1), Err(InputError::TooMany { limit }));
        assert_eq!(read("a.b.c.d.e.f.g.h=1").unwrap(), Input::default());
        assert!(matches!(
            read("a.b.c.d.e.f.g.h.i=1"),
            Err(InputError::TooDeep { .. })
        ));
        let long = read(&format!("Copy={}", "x".repeat(5_000))).unwrap_err();
        assert!(long.message().len() < 700, "what is echoed is cut");
    }
}
