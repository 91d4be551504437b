//! A JSON body as a bounded tree in which every member is there once.
//!
//! It does not know what anyone wants to read.
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use crate::input::{InputError, cut, join};

/// The deepest that a body may nest.
pub const DEPTH_MAX: usize = 16;
/// The most members and items of a body, all levels together.
pub const VALUES_MAX: usize = 4_096;

/// One value.
pub(super) enum Tree {
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
    pub(super) fn parse(body: &[u8]) -> Result<Self, InputError> {
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

    /// What kind of value it is, in words for the caller.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
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
