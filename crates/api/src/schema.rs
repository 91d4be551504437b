//! JSON schemas of an action's input and of its answer's `data`, made from the types themselves.
//!
//! It does not know any action; serde's names are the members' names.
use schemars::{
    JsonSchema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Value, json};
use wire::protocol::Layout;

/// The schemas of an action's input, and of `data` in the envelope of its answer.
#[derive(Debug)]
pub struct Shapes {
    /// The request's body.
    pub input: Value,
    /// `data`.
    pub data: Value,
}

impl Shapes {
    /// Those of an input and an output type.
    pub fn of<I: JsonSchema, O: JsonSchema>(layout: Layout) -> Self {
        let mut input = schema::<I>(Contract::Deserialize);
        close(&mut input);
        let members = schema::<O>(Contract::Serialize);
        Self {
            input,
            data: laid_out(members, layout),
        }
    }
}

/// A type's schema with all inside it, under the names that serde gives.
fn schema<T: JsonSchema>(contract: Contract) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        settings.contract = contract;
    });
    let mut schema = SchemaGenerator::new(settings)
        .into_root_schema_for::<T>()
        .to_value();
    if let Some(root) = schema.as_object_mut() {
        root.remove("title");
        root.remove("description");
    }
    schema
}

/// Says of every object that it has no other members, as the door's reader does.
fn close(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        if object.get("type") == Some(&json!("object")) {
            object
                .entry("additionalProperties")
                .or_insert(Value::Bool(false));
        }
        object.values_mut().for_each(close);
    } else if let Some(list) = schema.as_array_mut() {
        list.iter_mut().for_each(close);
    }
}

/// `data` as the envelope lays an output out.
fn laid_out(mut members: Value, layout: Layout) -> Value {
    if layout == Layout::Plain {
        let nothing = members["type"] == "null";
        return if nothing {
            json!({ "type": "object" })
        } else {
            members
        };
    }
    let mut member = |name: &str| {
        members
            .pointer_mut(&format!("/properties/{name}"))
            .map_or_else(|| json!({}), Value::take)
    };
    match layout {
        Layout::Plain => json!({}),
        Layout::Page(name) => json!({
            "type": "object",
            "properties": {
                "items": member(name),
                "next": {
                    "type": ["string", "null"],
                    "description": "The marker of the next page; null on the last one.",
                },
            },
            "required": ["items", "next"],
        }),
        Layout::Resource(name) => {
            let mut resource = member(name);
            resource["properties"]["id"] =
                json!({ "type": "string", "description": "What the resource is found by." });
            resource["properties"]["created_at"] = json!({
                "type": "string",
                "format": "date-time",
                "description": "When this record was made.",
            });
            if let Some(required) = resource["required"].as_array_mut() {
                required.push("id".into());
            }
            resource
        }
    }
}
