//! REST-JSON: a method and a path, labels in the path, names in the query, a JSON body, and a fault's
//! code in a header.
//!
//! It knows no path: those are the directory's routes.
use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Response, header};
use serde_json::{Map, Value};

use super::{
    form::{Field, Parameters},
    input::{InputError, ReadError},
    interface::{
        Answer, Asked, Dialect, Directory, Input, Protocol, Route, Service, respond,
        with_error_type,
    },
    json::Tree,
    node::{Item, Looks, Members, Node, Unknown},
};
use crate::{Fault, RawRequest, percent};

const CONTENT_TYPE: &str = "application/json";
/// A good answer of this status has no body.
const NO_CONTENT: u16 = 204;

/// REST-JSON.
#[derive(Debug)]
pub(super) struct RestJson;

impl Protocol for RestJson {
    fn methods(&self) -> &'static [Method] {
        const METHODS: &[Method] = &[Method::GET, Method::POST, Method::PUT, Method::DELETE];
        METHODS
    }

    /// Those of a route's path, and those that are signed for a service that has routes: whoever
    /// asks it for what it does not have reads the refusal in this protocol, too.
    fn asks(&self, request: &RawRequest, directory: &Directory) -> bool {
        if request.path == "/" {
            return false;
        }
        let signed_for = scope_service(request);
        let mut routes = directory.routes.iter();
        routes.any(|route| {
            signed_for == Some(route.service) || labels(route.path, &request.path).is_some()
        })
    }

    fn dialect(&self) -> Dialect {
        Dialect::Json
    }

    fn read(&self, request: &RawRequest, directory: &Directory) -> Result<Asked, InputError> {
        let (route, labels) = route(request, directory).ok_or_else(|| InputError::NoRoute {
            method: request.method.to_string(),
            path: request.path.clone(),
        })?;
        Ok(Asked {
            service: Some(route.service),
            action: route.action.to_owned(),
            input: Input::new(gather(request, route, labels), Unknown::Ignore),
            status: route.status,
        })
    }

    fn success(&self, answer: &Answer<'_>) -> Response<Bytes> {
        let body = match answer.output.to_json() {
            _ if answer.status == NO_CONTENT => String::new(),
            // An action without an output answers without a body.
            Value::Object(members) if members.is_empty() => String::new(),
            members => members.to_string(),
        };
        respond(answer.status, CONTENT_TYPE, body, answer.request_id)
    }

    fn fault(&self, fault: &Fault, _: &Service, request_id: &str) -> Response<Bytes> {
        let of = if fault.is_senders() {
            "Client"
        } else {
            "Server"
        };
        let mut members = Map::new();
        for (name, value) in [
            ("Code", fault.code),
            ("Message", fault.message.as_str()),
            ("Type", of),
        ] {
            members.insert(name.to_owned(), value.into());
        }
        for (name, value) in &fault.details {
            members.insert((*name).to_owned(), value.as_str().into());
        }
        let body = Value::Object(members).to_string();
        let response = respond(fault.status, CONTENT_TYPE, body, request_id);
        with_error_type(response, fault)
    }
}

/// The service that an Authorization header's scope names; whether it is true is for `sigv4`.
fn scope_service(request: &RawRequest) -> Option<&str> {
    let header = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, scope) = header.split_once("Credential=")?;
    scope.split(['/', ',']).nth(3)
}

type Labels = Vec<(&'static str, String)>;

/// The labels of a path that fits a pattern: names and decoded texts. A path is cut at its slashes
/// before it is decoded, so that a label may hold one; a slash at its end says nothing.
fn labels(pattern: &'static str, path: &str) -> Option<Labels> {
    let mut sent = path.trim_matches('/').split('/');
    let mut labels = Vec::new();
    for wanted in pattern.trim_matches('/').split('/') {
        let sent = sent.next()?;
        match wanted.strip_prefix('{') {
            Some(label) if !sent.is_empty() => {
                let text = String::from_utf8(percent::decode_path(sent).ok()?).ok()?;
                labels.push((label.trim_end_matches('}'), text));
            }
            None if sent == wanted => {}
            _ => return None,
        }
    }
    sent.next().is_none().then_some(labels)
}

/// The route of a request: of several that fit, the one that says most of the path itself.
fn route(request: &RawRequest, directory: &Directory) -> Option<(&'static Route, Labels)> {
    let routes = directory.routes.iter();
    let of_method = routes.filter(|route| route.method == request.method);
    let fitting = of_method.filter_map(|route| Some((route, labels(route.path, &request.path)?)));
    fitting.min_by_key(|(_, labels)| labels.len())
}

/// The members of labels, query and body as one structure.
fn gather(
    request: &RawRequest,
    route: &Route,
    labels: Labels,
) -> Result<Box<dyn Node>, InputError> {
    let query = Parameters::parse(&request.query, "")?;
    let asked = route.query.iter().filter_map(|(name, member)| {
        let value = query.get(name)?;
        Some((*member, value.to_owned()))
    });
    let texts = labels.into_iter().chain(asked);
    Ok(Box::new(Gathered {
        texts: texts.map(|(name, text)| (name, Field::of(text))).collect(),
        body: Tree::parse(&request.body)?,
    }))
}

/// Labels and query names beside the members of a body.
struct Gathered {
    texts: BTreeMap<&'static str, Field>,
    body: Tree,
}

impl Node for Gathered {
    fn text(&self) -> Result<&str, ReadError> {
        self.body.text()
    }

    fn boolean(&self) -> Result<bool, ReadError> {
        self.body.boolean()
    }

    fn whole(&self, least: i128, most: i128) -> Result<i128, ReadError> {
        self.body.whole(least, most)
    }

    fn float(&self) -> Result<f64, ReadError> {
        self.body.float()
    }

    /// What the path and the query say is not said again by the body.
    fn members(&self) -> Result<Members<'_>, ReadError> {
        let texts = self.texts.iter();
        let texts = texts.map(|(name, text)| (*name, text as &dyn Node));
        let body = self.body.members()?;
        let rest = body.filter(|(name, _)| !self.texts.contains_key(name));
        Ok(Box::new(texts.chain(rest)))
    }

    fn items(&self) -> Result<Vec<Item<'_>>, ReadError> {
        self.body.items()
    }

    fn looks(&self) -> Looks {
        Looks::Structure
    }

    fn is_none(&self) -> bool {
        false
    }
}
