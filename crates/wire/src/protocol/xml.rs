//! Writes any `Serialize` type as AWS Query XML.
//!
//! It does not know which shapes there are. Members become elements named as serde names them;
//! `None` is left out, an empty list is an empty element. A list item's element is named by the
//! serde type name of the item:
//! - `Vec<Tag>` gives `<Tag>…</Tag>`;
//! - a newtype `AvailabilityZone(String)` gives `<AvailabilityZone>…`, a bare string `<member>…`;
//! - an item whose element is not named like its shape takes the name from the API model, by
//!   `#[serde(rename = "DBClusterOptionGroup")]` on the struct, or by a newtype around it with
//!   `#[serde(rename = "item")]` where the shape's own name is needed elsewhere.
use std::fmt::{self, Write};

use data_encoding::BASE64;
use serde::ser::{self, Impossible, Serialize};

use crate::Fault;

const INFALLIBLE: &str = "a String takes all that is written";

/// A good answer: `<ActionResponse><ActionResult>…`. A unit output gives no Result element.
///
/// # Panics
/// When the output is no AWS Query shape: it has a map (`#[serde(flatten)]` makes one), a tuple
/// struct or a variant with values. Structs, lists, options and scalars never do.
pub fn response<T: Serialize>(
    action: &str,
    namespace: &str,
    output: &T,
    request_id: &str,
) -> String {
    let mut out = String::with_capacity(1_024);
    open_root(&mut out, action, "Response", namespace);
    let result = format!("{action}Result");
    output
        .serialize(Value {
            out: &mut out,
            name: Name::Field(&result),
        })
        .expect("answers are made of structs, lists, options and scalars");
    out.push_str("<ResponseMetadata>");
    element(&mut out, "RequestId", request_id);
    write!(out, "</ResponseMetadata></{action}Response>").expect(INFALLIBLE);
    out
}

/// A fault: `<ErrorResponse>…`, in one line and without a declaration, as RDS answers.
pub(super) fn fault(fault: &Fault, namespace: &str, request_id: &str) -> String {
    let mut out = String::with_capacity(512);
    open_root(&mut out, "Error", "Response", namespace);
    out.push_str("<Error>");
    let side = if fault.is_senders() {
        "Sender"
    } else {
        "Receiver"
    };
    element(&mut out, "Type", side);
    element(&mut out, "Code", fault.code);
    element(&mut out, "Message", &fault.message);
    out.push_str("</Error>");
    element(&mut out, "RequestId", request_id);
    out.push_str("</ErrorResponse>");
    out
}

fn open_root(out: &mut String, name: &str, suffix: &str, namespace: &str) {
    write!(out, "<{name}{suffix} xmlns=\"").expect(INFALLIBLE);
    escape(out, namespace);
    out.push_str("\">");
}

fn element(out: &mut String, name: &str, text: &str) {
    write!(out, "<{name}>").expect(INFALLIBLE);
    escape(out, text);
    write!(out, "</{name}>").expect(INFALLIBLE);
}

/// Writes text so that any XML 1.0 parser reads it back; what XML cannot carry is U+FFFD.
fn escape(out: &mut String, text: &str) {
    for symbol in text.chars() {
        match symbol {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // Parsers turn a bare one into a line feed.
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(symbol),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            plain => out.push(plain),
        }
    }
}

/// Why an output cannot be written; see [`response`].
#[derive(Debug)]
struct Unwritable(String);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Where an element's name comes from: the member that holds it, or the item's own type.
#[derive(Clone, Copy)]
enum Name<'a> {
    Field(&'a str),
    Item,
}

struct Value<'a> {
    out: &'a mut String,
    name: Name<'a>,
}

impl<'a> Value<'a> {
    fn element(&self, type_name: &'a str) -> &'a str {
        match self.name {
            Name::Field(field) => field,
            Name::Item => type_name,
        }
    }

    fn text(self, text: &str) {
        let name = self.element("member");
        element(self.out, name, text);
    }

    fn open(self, type_name: &'a str) -> Open<'a> {
        let name = self.element(type_name);
        write!(self.out, "<{name}>").expect(INFALLIBLE);
        Open {
            out: self.out,
            name,
        }
    }
}

/// An element that is open.
struct Open<'a> {
    out: &'a mut String,
    name: &'a str,
}

impl Open<'_> {
    fn close(self) -> Result<(), Unwritable> {
        write!(self.out, "</{}>", self.name).expect(INFALLIBLE);
        Ok(())
    }
}

macro_rules! as_text {
    ($($method:ident: $type:ty,)*) => {$(
        fn $method(self, value: $type) -> Result<(), Unwritable> {
            self.text(&value.to_string());
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for Value<'a> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Impossible<(), Unwritable>;
    type SerializeTupleVariant = Impossible<(), Unwritable>;
    type SerializeMap = Impossible<(), Unwritable>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Impossible<(), Unwritable>;

    as_text! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_i128: i128, serialize_u8: u8, serialize_u16: u16,
        serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char,
    }

    fn serialize_str(self, value: &str) -> Result<(), Unwritable> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unwritable> {
        self.text(&BASE64.encode(value));
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        type_name: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        let name = self.element(type_name);
        element(self.out, name, variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        type_name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        let name = Name::Field(self.element(type_name));
        value.serialize(Value {
            out: self.out,
            name,
        })
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unwritable> {
        no_shape("a variant with a value")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, Unwritable> {
        Ok(self.open("member"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, Unwritable> {
        Ok(self.open("member"))
    }

    fn serialize_struct(self, type_name: &'static str, _: usize) -> Result<Open<'a>, Unwritable> {
        Ok(self.open(type_name))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unwritable> {
        no_shape("a tuple struct")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unwritable> {
        no_shape("a variant with values")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unwritable> {
        no_shape("a map")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unwritable> {
        no_shape("a variant with members")
    }
}

fn no_shape<T>(what: &str) -> Result<T, Unwritable> {
    Err(Unwritable(format!(
        "no shape of an AWS Query answer is {what}"
    )))
}

impl ser::SerializeSeq for Open<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unwritable> {
        value.serialize(Value {
            out: self.out,
            name: Name::Item,
        })
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

impl ser::SerializeTuple for Open<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unwritable> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

impl ser::SerializeStruct for Open<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(Value {
            out: self.out,
            name: Name::Field(name),
        })
    }

    fn end(self) -> Result<(), Unwritable> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        marker: Option<String>,
        #[serde(rename = "DBClusterSnapshot")]
        snapshot: Snapshot,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Snapshot {
        percent_progress: u8,
        encrypted: bool,
        zones: Vec<AvailabilityZone>,
        names: Vec<&'static str>,
        tag_list: Vec<Tag>,
        groups: Vec<Group>,
        specifications: Vec<Item>,
        none: Vec<Tag>,
    }

    #[derive(Serialize)]
    struct AvailabilityZone(&'static str);

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tag {
        key: &'static str,
        value: Option<&'static str>,
    }

    #[derive(Serialize)]
    #[serde(rename = "DBClusterOptionGroup")]
    struct Group {}

    #[derive(Serialize)]
    #[serde(rename = "item")]
    struct Item(Tag);

    #[test]
    fn shapes_become_elements() {
        let tag = |key, value| Tag { key, value };
        let output = Output {
            marker: None,
            snapshot: Snapshot {
                percent_progress: 7,
                encrypted: true,
                zones: vec![AvailabilityZone("a"), AvailabilityZone("b")],
                names: vec!["x"],
                tag_list: vec![tag("k", Some("<&>\"'é")), tag("l", None)],
                groups: vec![Group {}],
                specifications: vec![Item(tag("i", Some("")))],
                none: Vec::new(),
            },
        };
        assert_eq!(
            response("CopyDBClusterSnapshot", "http://x/&", &output, "r-1"),
            "<CopyDBClusterSnapshotResponse xmlns=\"http://x/&amp;\">\
             <CopyDBClusterSnapshotResult><DBClusterSnapshot>\
             <PercentProgress>7</PercentProgress><Encrypted>true</Encrypted>\
             <Zones><AvailabilityZone>a</AvailabilityZone><AvailabilityZone>b</AvailabilityZone>\
             </Zones><Names><member>x</member></Names>\
             <TagList><Tag><Key>k</Key><Value>&lt;&amp;&gt;&quot;'é</Value></Tag>\
             <Tag><Key>l</Key></Tag></TagList>\
             <Groups><DBClusterOptionGroup></DBClusterOptionGroup></Groups>\
             <Specifications><item><Key>i</Key><Value></Value></item></Specifications>\
             <None></None></DBClusterSnapshot></CopyDBClusterSnapshotResult>\
             <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
             </CopyDBClusterSnapshotResponse>"
        );
    }

    #[test]
    fn a_unit_output_has_no_result() {
        assert_eq!(
            response("AddTagsToResource", "n", &(), "r"),
            "<AddTagsToResourceResponse xmlns=\"n\"><ResponseMetadata><RequestId>r</RequestId>\
             </ResponseMetadata></AddTagsToResourceResponse>"
        );
    }

    #[test]
    fn text_survives_any_xml_parser() {
        let mut out = String::new();
        escape(&mut out, "a\u{1}\u{fffe}\r\n\t\u{0}b\u{7f}\u{10000}");
        assert_eq!(out, "a\u{fffd}\u{fffd}&#13;\n\t\u{fffd}b\u{7f}\u{10000}");
    }
}
