//! A JSON tree as a serde deserializer.
//!
//! It does not turn one kind of value into another.
use std::collections::btree_map;

use serde::de::{self, IntoDeserializer, Visitor};

use super::tree::Tree;
use crate::input::ReadError;

/// Members that every request may have at its top, besides its action's own.
const EVERYWHERE: [&str; 2] = ["Action", "Version"];

/// What becomes of members that a struct does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// An error that names the member; `Action` and `Version` at the top are let through.
    Refuse,
    /// Left out, as AWS's own JSON protocol does.
    Ignore,
}

/// A value, and how it is to be read.
#[derive(Clone, Copy)]
pub(super) struct Value<'de> {
    tree: &'de Tree,
    unknown: Unknown,
    top: bool,
}

impl<'de> Value<'de> {
    pub(super) fn root(tree: &'de Tree, unknown: Unknown) -> Self {
        Self {
            tree,
            unknown,
            top: true,
        }
    }

    fn below(self, tree: &'de Tree) -> Self {
        Self {
            tree,
            top: false,
            ..self
        }
    }

    fn is_not(self, expected: impl Into<String>) -> ReadError {
        ReadError::malformed(self.tree.kind(), expected)
    }

    fn whole<N>(self, least: N, most: N) -> Result<N, ReadError>
    where
        N: TryFrom<u64> + TryFrom<i64> + std::fmt::Display,
    {
        let wrong = |value: &dyn std::fmt::Display| {
            let expected = format!("a whole number from {least} to {most}");
            ReadError::malformed(value.to_string(), expected)
        };
        match *self.tree {
            Tree::Unsigned(value) => N::try_from(value).map_err(|_| wrong(&value)),
            Tree::Signed(value) => N::try_from(value).map_err(|_| wrong(&value)),
            Tree::Float(value) => Err(wrong(&value)),
            _ => Err(self.is_not("a whole number")),
        }
    }

    fn float(self) -> Result<f64, ReadError> {
        match *self.tree {
            // A double is the widest number that JSON readers agree on.
            #[expect(clippy::cast_precision_loss, reason = "JSON's numbers are doubles")]
            Tree::Unsigned(value) => Ok(value as f64),
            #[expect(clippy::cast_precision_loss, reason = "JSON's numbers are doubles")]
            Tree::Signed(value) => Ok(value as f64),
            Tree::Float(value) => Ok(value),
            _ => Err(self.is_not("a number")),
        }
    }

    fn text(self) -> Result<&'de str, ReadError> {
        match self.tree {
            Tree::Text(text) => Ok(text),
            _ => Err(self.is_not("a string")),
        }
    }

    fn members(self) -> Result<btree_map::Iter<'de, String, Tree>, ReadError> {
        match self.tree {
            Tree::Object(members) => Ok(members.iter()),
            _ => Err(self.is_not("an object")),
        }
    }
}

struct Members<'de> {
    of: Value<'de>,
    rest: btree_map::Iter<'de, String, Tree>,
    at: Option<(&'de str, &'de Tree)>,
}

impl<'de> de::MapAccess<'de> for Members<'de> {
    type Error = ReadError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.at = self
            .rest
            .find(|(_, value)| !matches!(value, Tree::Null))
            .map(|(name, value)| (name.as_str(), value));
        match self.at {
            Some((name, _)) => seed.deserialize(name.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ReadError> {
        let (name, value) = self.at.take().expect("serde asks for a key first");
        seed.deserialize(self.of.below(value))
            .map_err(|error| error.under(name))
    }
}

struct Items<'de> {
    of: Value<'de>,
    rest: std::iter::Enumerate<std::slice::Iter<'de, Tree>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some((index, item)) = self.rest.next() else {
            return Ok(None);
        };
        seed.deserialize(self.of.below(item))
            .map(Some)
            .map_err(|error| error.under(&format!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

macro_rules! whole_numbers {
    ($($method:ident => $visit:ident: $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            visitor.$visit(self.whole(<$type>::MIN, <$type>::MAX)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Value<'de> {
    type Error = ReadError;

    whole_numbers! {
        deserialize_i8 => visit_i8: i8;
        deserialize_i16 => visit_i16: i16;
        deserialize_i32 => visit_i32: i32;
        deserialize_i64 => visit_i64: i64;
        deserialize_u8 => visit_u8: u8;
        deserialize_u16 => visit_u16: u16;
        deserialize_u32 => visit_u32: u32;
        deserialize_u64 => visit_u64: u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match *self.tree {
            Tree::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.is_not("a boolean")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.tree {
            Tree::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.tree {
            Tree::List(items) => visitor.visit_seq(Items {
                of: self,
                rest: items.iter().enumerate(),
            }),
            _ => Err(self.is_not("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_map(Members {
            of: self,
            rest: self.members()?,
            at: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if self.unknown == Unknown::Refuse {
            let stranger = self
                .members()?
                .map(|(name, _)| name.as_str())
                .find(|name| !(fields.contains(name) || (self.top && EVERYWHERE.contains(name))));
            if let Some(name) = stranger {
                return Err(ReadError::unknown().under(name));
            }
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.tree {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(*value),
            Tree::Unsigned(value) => visitor.visit_u64(*value),
            Tree::Signed(value) => visitor.visit_i64(*value),
            Tree::Float(value) => visitor.visit_f64(*value),
            Tree::Text(text) => visitor.visit_borrowed_str(text),
            Tree::List(_) => self.deserialize_seq(visitor),
            Tree::Object(_) => self.deserialize_map(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}
