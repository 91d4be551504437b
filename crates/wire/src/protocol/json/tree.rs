//! A JSON body as a bounded tree in which every member is there once.
//!
//! It does not know what anyone wants to read.
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use crate::{
    echo::cut,
    protocol::{
        input::{InputError, ReadError, join},
        node::{Item, ItemName, Looks, Members, Node},
    },
};

/// The deepest that a body may nest.
pub const DEPTH_MAX: usize = 16;
/// The most members and items of a body, all levels together.
pub const VALUES_MAX: usize = 4_096;

/// One value.
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

impl Tree {
    /// Reads a body; an empty one counts as `{}`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, InputError> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::Object(BTreeMap::new()));
        }
        let mut seen = Seen::default();
        let mut reader = serde_json::Deserializer::from_slice(body);
        let seed = Seed {
            seen: &mut seen,
            depth: 0,
        };
        let parsed = seed
            .deserialize(&mut reader)
            .and_then(|tree| reader.end().map(|()| tree));
        parsed.map_err(|error| {
            seen.fault.unwrap_or_else(|| InputError::NotJson {
                line: error.line(),
                column: error.column(),
            })
        })
    }

    /// A text among an object's members; `null` counts as absent.
    pub(crate) fn text_of(&self, member: &str) -> Result<Option<&str>, ReadError> {
        let Self::Object(members) = self else {
            return Err(self.is_not("an object"));
        };
        let found = members.get(member).filter(|tree| !tree.is_null());
        let text = found.map(Self::text).transpose();
        text.map_err(|error| error.under(member))
    }

    fn is_not(&self, expected: impl Into<String>) -> ReadError {
        let kind = match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        };
        ReadError::malformed(kind, expected)
    }
}

/// One kind of value is never turned into another.
impl Node for Tree {
    fn text(&self) -> Result<&str, ReadError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(self.is_not("a string")),
        }
    }

    fn boolean(&self) -> Result<bool, ReadError> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => Err(self.is_not("a boolean")),
        }
    }

    fn whole(&self, least: i128, most: i128) -> Result<i128, ReadError> {
        let wrong = |value: &dyn fmt::Display| {
            let expected = format!("a whole number from {least} to {most}");
            Err(ReadError::malformed(value.to_string(), expected))
        };
        let number = match *self {
            Self::Unsigned(value) => i128::from(value),
            Self::Signed(value) => i128::from(value),
            Self::Float(value) => return wrong(&value),
            _ => return Err(self.is_not("a whole number")),
        };
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            wrong(&number)
        }
    }

    fn float(&self) -> Result<f64, ReadError> {
        match *self {
            // A double is the widest number that JSON readers agree on.
            #[expect(clippy::cast_precision_loss, reason = "JSON's numbers are doubles")]
            Self::Unsigned(value) => Ok(value as f64),
            #[expect(clippy::cast_precision_loss, reason = "JSON's numbers are doubles")]
            Self::Signed(value) => Ok(value as f64),
            Self::Float(value) => Ok(value),
            _ => Err(self.is_not("a number")),
        }
    }

    fn members(&self) -> Result<Members<'_>, ReadError> {
        match self {
            Self::Object(members) => Ok(Box::new(
                members
                    .iter()
                    .map(|(name, tree)| (name.as_str(), tree as &dyn Node)),
            )),
            _ => Err(self.is_not("an object")),
        }
    }

    fn items(&self) -> Result<Vec<Item<'_>>, ReadError> {
        let Self::List(list) = self else {
            return Err(self.is_not("a list"));
        };
        let items = list.iter().enumerate().map(|(index, tree)| Item {
            name: ItemName::Index(index),
            node: tree,
        });
        Ok(items.collect())
    }

    fn looks(&self) -> Looks {
        match *self {
            Self::Null => Looks::Null,
            Self::Bool(value) => Looks::Bool(value),
            Self::Unsigned(value) => Looks::Unsigned(value),
            Self::Signed(value) => Looks::Signed(value),
            Self::Float(value) => Looks::Float(value),
            Self::Text(_) => Looks::Text,
            Self::List(_) => Looks::List,
            Self::Object(_) => Looks::Structure,
        }
    }

    fn is_none(&self) -> bool {
        self.is_null()
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// What has been seen of the body so far.
#[derive(Default)]
struct Seen {
    values: usize,
    path: Vec<String>,
    fault: Option<InputError>,
}

impl Seen {
    /// Keeps the fault aside, since serde_json's error can carry only text.
    fn refuse<E: de::Error>(&mut self, fault: InputError) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    fn parameter(&self) -> String {
        cut(&join(self.path.iter()))
    }

    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        if VALUES_MAX < self.values {
            return Err(self.refuse(InputError::TooMany { limit: VALUES_MAX }));
        }
        Ok(())
    }
}

struct Seed<'a> {
    seen: &'a mut Seen,
    depth: usize,
}

impl Seed<'_> {
    /// The seed of a value inside this one.
    fn below(&mut self) -> Seed<'_> {
        Seed {
            seen: self.seen,
            depth: self.depth + 1,
        }
    }

    fn enter<E: de::Error>(&mut self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        let parameter = self.seen.parameter();
        Err(self.seen.refuse(InputError::TooDeep {
            parameter,
            limit: DEPTH_MAX,
        }))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Tree;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(mut self, mut items: A) -> Result<Tree, A::Error> {
        self.enter()?;
        let mut list = Vec::new();
        loop {
            self.seen.path.push(format!("[{}]", list.len()));
            let item = items.next_element_seed(self.below())?;
            self.seen.path.pop();
            let Some(item) = item else {
                return Ok(Tree::List(list));
            };
            self.seen.count()?;
            list.push(item);
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(mut self, mut members: A) -> Result<Tree, A::Error> {
        self.enter()?;
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            self.seen.count()?;
            self.seen.path.push(name.clone());
            let value = members.next_value_seed(self.below())?;
            match object.entry(name) {
                Entry::Vacant(free) => free.insert(value),
                Entry::Occupied(_) => {
                    let parameter = self.seen.parameter();
                    return Err(self.seen.refuse(InputError::Twice { parameter }));
                }
            };
            self.seen.path.pop();
        }
        Ok(Tree::Object(object))
    }
}
