//! What an API action is, and its erased form in the registry.
//!
//! An action is its input: a struct that both the Query and the JSON reader can fill, and one
//! `run`. Its output serializes to XML and JSON alike. See docs/adding/action.md.
use std::{future::Future, pin::Pin, sync::Arc};

use model::Region;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::openapi::Shapes;
use service::{
    auth::{authenticate::Access, caller::Caller},
    core::Core,
    fault::{Code, Fault},
};

/// The API that an action belongs to; also the service name in a credential's scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    Rds,
    Kms,
    Sts,
    Tagging,
}

impl Api {
    /// The name in a credential scope and a host name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rds => "rds",
            Self::Kms => "kms",
            Self::Sts => "sts",
            Self::Tagging => "tagging",
        }
    }

    /// Reads a scope's or host's service name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Rds, Self::Kms, Self::Sts, Self::Tagging]
            .into_iter()
            .find(|api| api.as_str() == text)
    }

    /// The XML namespace of its answers.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Rds => "http://rds.amazonaws.com/doc/2014-10-31/",
            Self::Kms => "https://kms.amazonaws.com/doc/2014-11-01/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Tagging => "https://tagging.amazonaws.com/doc/2017-01-26/",
        }
    }
}

/// Everything an action may touch.
#[derive(Debug)]
pub struct ActionContext {
    /// The rooms.
    pub core: Arc<Core>,
    /// Checks signatures beside the request's own.
    pub access: Arc<Access>,
    /// Who asks.
    pub caller: Caller,
    /// The region that is asked.
    pub region: Region,
}

/// How an output looks inside the JSON door's envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The members as they are.
    Plain,
    /// The members of one resource, which is this member of the output, with `id` and
    /// `created_at`.
    Resource(&'static str),
    /// A page: this member of the output as `items`, and `next`.
    Page(&'static str),
}

/// What an output's layout adds to its members.
#[derive(Debug)]
pub enum Label {
    /// For [`Layout::Plain`].
    None,
    /// For [`Layout::Resource`].
    Resource {
        /// What the resource is found by.
        id: String,
        /// When its record was made.
        created_at: Option<String>,
    },
    /// For [`Layout::Page`].
    Page {
        /// The marker of the page after this one.
        next: Option<String>,
    },
}

/// What an action answers.
pub trait Output: Serialize + JsonSchema + Send {
    /// How it looks in the JSON door's envelope.
    const LAYOUT: Layout = Layout::Plain;

    /// What that layout adds.
    fn label(&self) -> Label {
        Label::None
    }
}

impl Output for () {}

/// One API action; the input struct is the action.
pub trait Action: DeserializeOwned + JsonSchema + Send + 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// The API it belongs to.
    const API: Api;
    /// Whether it only reads, and so may be asked by GET.
    const READS: bool = false;
    /// What it answers.
    type Output: Output;
    /// Does it.
    fn run(self, cx: &ActionContext) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

/// A request's parameters, as one of the readers holds them.
#[derive(Debug)]
pub enum Input {
    /// A form, a query string, or both.
    Query(wire::query::Parameters),
    /// The JSON door.
    Json(bytes::Bytes),
    /// AWS JSON 1.1: unknown members are ignored.
    AwsJson(bytes::Bytes),
}

impl Input {
    fn read<T: DeserializeOwned>(&self) -> Result<T, wire::InputError> {
        match self {
            Self::Query(parameters) => parameters.read(),
            Self::Json(body) => wire::json::read(body, wire::json::Unknown::Refuse),
            Self::AwsJson(body) => wire::json::read(body, wire::json::Unknown::Ignore),
        }
    }
}

/// How the answer is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Xml,
    Envelope,
    AwsJson,
}

type Reply<'a> = Pin<Box<dyn Future<Output = Result<String, Fault>> + Send + 'a>>;

/// An action with its types erased, as the registry holds it.
#[derive(Debug)]
pub struct Entry {
    /// The name on the wire.
    pub name: &'static str,
    /// The API it belongs to.
    pub api: Api,
    /// Whether it only reads.
    pub reads: bool,
    /// Reads the input, runs, and writes the body of a good answer.
    pub call: for<'a> fn(&'a Input, &'a ActionContext, Form, &'a str) -> Reply<'a>,
    /// The schemas of its input and output.
    pub shapes: fn() -> Shapes,
}

/// An action's row in the registry.
pub const fn entry<A: Action>() -> Entry {
    Entry {
        name: A::NAME,
        api: A::API,
        reads: A::READS,
        call: call::<A>,
        shapes: Shapes::of::<A>,
    }
}

fn call<'a, A: Action>(
    input: &'a Input,
    cx: &'a ActionContext,
    form: Form,
    request_id: &'a str,
) -> Reply<'a> {
    Box::pin(async move {
        let action: A = input.read().map_err(|error| match A::API {
            // These have one word for all that is wrong with an input.
            Api::Kms => Fault::new(Code::KmsValidation, error.message()),
            Api::Tagging => Fault::new(Code::TaggingInvalidParameter, error.message()),
            Api::Rds | Api::Sts => Fault::from(error),
        })?;
        let output = action.run(cx).await?;
        Ok(match form {
            Form::Xml => wire::xml::response(A::NAME, A::API.namespace(), &output, request_id),
            Form::Envelope => envelope(&output, request_id),
            Form::AwsJson => as_json(&output).to_string(),
        })
    })
}

fn as_json<T: Serialize>(output: &T) -> Value {
    match serde_json::to_value(output).expect("shapes serialize to JSON") {
        Value::Null => Value::Object(Map::new()),
        value => value,
    }
}

/// `{"success": true, "data": …}`.
fn envelope<T: Output>(output: &T, request_id: &str) -> String {
    let mut members = as_json(output);
    let mut taken = |member: &str| members.get_mut(member).map(Value::take);
    let data = match (T::LAYOUT, output.label()) {
        (Layout::Resource(member), Label::Resource { id, created_at }) => {
            let mut data = Map::new();
            data.insert("id".to_owned(), id.into());
            if let Some(created_at) = created_at {
                data.insert("created_at".to_owned(), created_at.into());
            }
            if let Some(Value::Object(resource)) = taken(member) {
                data.extend(resource);
            }
            Value::Object(data)
        }
        (Layout::Page(member), Label::Page { next }) => {
            let items = taken(member).unwrap_or_else(|| Value::Array(Vec::new()));
            serde_json::json!({ "items": items, "next": next })
        }
        _ => members,
    };
    serde_json::json!({ "success": true, "data": data, "request_id": request_id }).to_string()
}
