//! What a protocol is: from a request to parameters, and from an answer or a fault to a response.
//!
//! It knows no protocol, and no word of any service: those come in a [`Directory`].
use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    input::InputError,
    node::{Node, Unknown, fill},
    xml,
};
use crate::{Fault, RawRequest};

/// The header that carries a request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The header in which JSON protocols carry a fault's code.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// One protocol. A request has one that it is written in, and one that its answer is to be
/// written in; they differ where the client accepts something else.
pub trait Protocol: fmt::Debug + Sync {
    /// The methods that requests in it have.
    fn methods(&self) -> &'static [Method];

    /// Whether a request is written in it. The body may not have come yet.
    fn asks(&self, request: &RawRequest, directory: &Directory) -> bool;

    /// Whether a request's answer is to be in it.
    fn answers(&self, request: &RawRequest, directory: &Directory) -> bool {
        self.asks(request, directory)
    }

    /// Which of AWS's two lists of common errors it has.
    fn dialect(&self) -> Dialect;

    /// What a whole request asks for.
    ///
    /// # Errors
    /// No action is named, or what would name it cannot be read. What is wrong with the
    /// parameters alone is told when they are read.
    fn read(&self, request: &RawRequest, directory: &Directory) -> Result<Asked, InputError>;

    /// Writes a good answer.
    fn success(&self, answer: &Answer<'_>) -> Response<Bytes>;

    /// Writes a fault; `service` is the one that was asked, as far as is known.
    fn fault(&self, fault: &Fault, service: &Service, request_id: &str) -> Response<Bytes>;
}

/// What protocols have to know of the services.
#[derive(Debug)]
pub struct Directory {
    /// All of them; the first answers where none is named.
    pub services: &'static [Service],
    /// The action of a JSON POST to `/` that names none.
    pub unnamed: &'static str,
    /// Actions that have a method and path of their own.
    pub routes: &'static [Route],
}

/// A service's words.
#[derive(Debug)]
pub struct Service {
    /// Its name in a credential's scope and a host name.
    pub name: &'static str,
    /// The XML namespace of its answers.
    pub namespace: &'static str,
    /// What stands before an operation in X-Amz-Target, if it is asked so.
    pub target: Option<&'static str>,
}

/// An action's method and path.
#[derive(Debug)]
pub struct Route {
    /// The service's name.
    pub service: &'static str,
    /// The action.
    pub action: &'static str,
    /// The method.
    pub method: Method,
    /// The path, with labels, which are members: `/tags/{ResourceArn}`.
    pub path: &'static str,
    /// Names of the query, each with the member that it carries.
    pub query: &'static [(&'static str, &'static str)],
    /// The status of a good answer.
    pub status: u16,
}

/// AWS's two lists of common errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `InvalidAction` and its like.
    Query,
    /// `UnknownOperationException` and its like.
    Json,
}

/// What a request asks for.
#[derive(Debug)]
pub struct Asked {
    /// The service's name, where the request says it besides its signature and host.
    pub service: Option<&'static str>,
    /// The action's name, as the caller wrote it.
    pub action: String,
    /// Its parameters.
    pub input: Input,
    /// The status of a good answer.
    pub status: u16,
}

/// A request's parameters, read into a tree.
pub struct Input {
    root: Result<Box<dyn Node>, InputError>,
    unknown: Unknown,
}

impl fmt::Debug for Input {
    /// Shows nothing: values may be passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

impl Input {
    pub(super) fn new(root: Result<Box<dyn Node>, InputError>, unknown: Unknown) -> Self {
        Self { root, unknown }
    }

    /// Fills `T`.
    ///
    /// # Errors
    /// What is wrong with the notation; the first parameter that is missing, unknown, or not
    /// what `T` wants.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        let root = self.root.as_ref().map_err(Clone::clone)?;
        fill(root.as_ref(), self.unknown)
    }
}

/// A good answer.
pub struct Answer<'a> {
    /// The action.
    pub action: &'a str,
    /// Its service.
    pub service: &'a Service,
    /// The HTTP status.
    pub status: u16,
    /// The output.
    pub output: &'a dyn Encode,
    /// How it looks in an envelope.
    pub layout: Layout,
    /// What that adds.
    pub label: Label,
    /// The request's id.
    pub request_id: &'a str,
}

impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

/// How an output looks inside an envelope.
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

/// An output, in the notations that protocols carry. Any `Serialize` type made of structs, lists,
/// options and scalars is one.
pub trait Encode {
    /// The whole document of a good answer; see [`xml::response`].
    fn to_xml(&self, action: &str, namespace: &str, request_id: &str) -> String;
    /// An object; an output without members is an empty one.
    fn to_json(&self) -> Value;
}

impl<T: Serialize> Encode for T {
    fn to_xml(&self, action: &str, namespace: &str, request_id: &str) -> String {
        xml::response(action, namespace, self, request_id)
    }

    fn to_json(&self) -> Value {
        match serde_json::to_value(self).expect("shapes serialize to JSON") {
            Value::Null => Value::Object(Map::new()),
            value => value,
        }
    }
}

/// A response with the headers that every protocol has.
pub(super) fn respond(
    status: u16,
    content_type: &'static str,
    body: String,
    request_id: &str,
) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(REQUEST_ID, request_id)
        .header(header::CACHE_CONTROL, "no-store")
        .body(Bytes::from(body))
        .expect("a status of a table and plain headers")
}

/// The same, with a fault's code in a header, as JSON protocols have it.
pub(super) fn with_error_type(mut response: Response<Bytes>, fault: &Fault) -> Response<Bytes> {
    let code = HeaderValue::from_static(fault.code);
    response.headers_mut().insert(ERROR_TYPE, code);
    response
}

/// The media type that a request says its body has, in lower case and without parameters.
pub(super) fn media_type(request: &RawRequest) -> String {
    let content_type = text_header(request, &header::CONTENT_TYPE);
    essence(&content_type).to_owned()
}

/// A header's text in lower case; empty when there is none.
pub(super) fn text_header(request: &RawRequest, name: &HeaderName) -> String {
    let value = request.headers.get(name);
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default().to_ascii_lowercase()
}

/// A media type without its parameters.
pub(super) fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}
