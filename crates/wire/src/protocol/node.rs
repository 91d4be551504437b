//! Parameters as a tree that fills any `Deserialize` type, whichever notation they came in.
//!
//! It knows no notation: a [`Node`] says what it is taken for. `#[serde(flatten)]` does not work:
//! it hides a member's type from the reader, and lets unknown members pass unseen.
use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use super::input::{InputError, ReadError};

/// Members that every request may have at its top, besides its action's own.
const EVERYWHERE: [&str; 2] = ["Action", "Version"];

/// What becomes of members that a struct does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// An error that names the member; `Action` and `Version` at the top are let through.
    Refuse,
    /// Left out, as AWS's own protocols do.
    Ignore,
}

/// One value of a request, and all below it. Reading it as something that it is not is an error
/// that says what it is instead.
pub(super) trait Node: Send + Sync {
    /// As text.
    fn text(&self) -> Result<&str, ReadError>;
    /// As a boolean.
    fn boolean(&self) -> Result<bool, ReadError>;
    /// As a whole number from `least` to `most`.
    fn whole(&self, least: i128, most: i128) -> Result<i128, ReadError>;
    /// As a number, which is finite.
    fn float(&self) -> Result<f64, ReadError>;
    /// As a structure.
    fn members(&self) -> Result<Members<'_>, ReadError>;
    /// As a list, in order.
    fn items(&self) -> Result<Vec<Item<'_>>, ReadError>;
    /// As whatever it looks like.
    fn looks(&self) -> Looks;
    /// Whether it is the `None` of an `Option`.
    fn is_none(&self) -> bool;
    /// Whether a structure that holds it counts as one without it.
    fn is_null(&self) -> bool {
        false
    }
}

/// A structure's members.
pub(super) type Members<'a> = Box<dyn Iterator<Item = (&'a str, &'a dyn Node)> + 'a>;

/// An item of a list.
pub(super) struct Item<'a> {
    pub(super) name: ItemName,
    pub(super) node: &'a dyn Node,
}

/// What an item is called, as the caller wrote it.
pub(super) enum ItemName {
    /// `[0]`.
    Index(usize),
    /// `member.1`.
    Name(String),
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What a node looks like.
pub(super) enum Looks {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
    List,
    Structure,
}

/// Fills `T` from a tree.
///
/// # Errors
/// The first member that is missing, unknown, or not what `T` wants.
pub(super) fn fill<T: DeserializeOwned>(
    root: &dyn Node,
    unknown: Unknown,
) -> Result<T, InputError> {
    let reader = Reader {
        node: root,
        unknown,
        top: true,
    };
    T::deserialize(reader).map_err(ReadError::into_input)
}

/// A node, and how it is to be read.
#[derive(Clone, Copy)]
struct Reader<'de> {
    node: &'de dyn Node,
    unknown: Unknown,
    top: bool,
}

impl<'de> Reader<'de> {
    fn below(self, node: &'de dyn Node) -> Self {
        Self {
            node,
            top: false,
            ..self
        }
    }

    fn whole<N>(self, least: N, most: N) -> Result<N, ReadError>
    where
        N: TryFrom<i128> + Into<i128>,
    {
        let number = self.node.whole(least.into(), most.into())?;
        N::try_from(number).map_err(|_| ReadError::malformed(number.to_string(), "a whole number"))
    }
}

struct MemberReader<'de> {
    of: Reader<'de>,
    rest: Members<'de>,
    at: Option<(&'de str, &'de dyn Node)>,
}

impl<'de> de::MapAccess<'de> for MemberReader<'de> {
    type Error = ReadError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.at = self.rest.find(|(_, node)| !node.is_null());
        match self.at {
            Some((name, _)) => seed.deserialize(name.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ReadError> {
        let (name, node) = self.at.take().expect("serde asks for a key first");
        seed.deserialize(self.of.below(node))
            .map_err(|error| error.under(name))
    }
}

struct ItemReader<'de> {
    of: Reader<'de>,
    rest: std::vec::IntoIter<Item<'de>>,
}

impl<'de> de::SeqAccess<'de> for ItemReader<'de> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some(Item { name, node }) = self.rest.next() else {
            return Ok(None);
        };
        seed.deserialize(self.of.below(node))
            .map(Some)
            .map_err(|error| error.under(&name.to_string()))
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

impl<'de> de::Deserializer<'de> for Reader<'de> {
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
        visitor.visit_f64(self.node.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_f64(self.node.float()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_bool(self.node.boolean()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.node.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.node.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_none() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_seq(ItemReader {
            of: self,
            rest: self.node.items()?.into_iter(),
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_map(MemberReader {
            of: self,
            rest: self.node.members()?,
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
            let stranger =
                self.node.members()?.map(|(name, _)| name).find(|name| {
                    !(fields.contains(name) || (self.top && EVERYWHERE.contains(name)))
                });
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
        visitor.visit_enum(self.node.text()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.node.looks() {
            Looks::Null => visitor.visit_unit(),
            Looks::Bool(value) => visitor.visit_bool(value),
            Looks::Unsigned(value) => visitor.visit_u64(value),
            Looks::Signed(value) => visitor.visit_i64(value),
            Looks::Float(value) => visitor.visit_f64(value),
            Looks::Text => self.deserialize_str(visitor),
            Looks::List => self.deserialize_seq(visitor),
            Looks::Structure => self.deserialize_map(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}
