//! The JSON door: plain JSON in, `{"success": …}` back.
use bytes::Bytes;
use http::{Method, Response, header};
use serde_json::{Map, Value, json};

use super::{
    form::Parameters,
    input::{InputError, ReadError},
    interface::{
        Answer, Asked, Dialect, Directory, Encode, Input, Label, Layout, Protocol, Service,
        essence, media_type, respond, text_header,
    },
    json::Tree,
    node::Unknown,
    query::GET_AND_POST,
};
use crate::{Fault, RawRequest};

const CONTENT_TYPE: &str = "application/json";

/// The JSON door.
#[derive(Debug)]
pub(super) struct JsonEnvelope;

impl Protocol for JsonEnvelope {
    // A GET is told that JSON comes by POST.
    fn methods(&self) -> &'static [Method] {
        GET_AND_POST
    }

    fn asks(&self, request: &RawRequest, _: &Directory) -> bool {
        media_type(request) == CONTENT_TYPE
    }

    fn answers(&self, request: &RawRequest, directory: &Directory) -> bool {
        let accept = text_header(request, &header::ACCEPT);
        let mut accepted = accept.split(',');
        accepted.any(|part| essence(part) == CONTENT_TYPE)
            || (matches!(accept.trim(), "" | "*/*") && self.asks(request, directory))
    }

    fn dialect(&self) -> Dialect {
        Dialect::Query
    }

    fn read(&self, request: &RawRequest, directory: &Directory) -> Result<Asked, InputError> {
        if request.method != Method::POST {
            return Err(InputError::NotPost);
        }
        let query = Parameters::parse(&request.query, "")?;
        let body = Tree::parse(&request.body)?;
        Ok(Asked {
            service: None,
            action: named(&query, &request.path, &body)?
                .unwrap_or(directory.unnamed)
                .to_owned(),
            input: Input::new(Ok(Box::new(body)), Unknown::Refuse),
            status: 200,
        })
    }

    fn success(&self, answer: &Answer<'_>) -> Response<Bytes> {
        let body = json!({
            "success": true,
            "data": laid_out(answer.output, answer.layout, &answer.label),
            "request_id": answer.request_id,
        });
        let body = body.to_string();
        respond(answer.status, CONTENT_TYPE, body, answer.request_id)
    }

    fn fault(&self, fault: &Fault, _: &Service, request_id: &str) -> Response<Bytes> {
        let body = json!({
            "success": false,
            "error": {
                "code": fault.kind,
                "message": fault.message,
                "fault": fault.code,
                "request_id": request_id,
            }
        });
        respond(fault.status, CONTENT_TYPE, body.to_string(), request_id)
    }
}

/// The action's name: by `?Action=`, by the path, or by a member of the body.
fn named<'a>(
    query: &'a Parameters,
    path: &'a str,
    body: &'a Tree,
) -> Result<Option<&'a str>, InputError> {
    let in_path = Some(path.trim_matches('/')).filter(|path| !path.is_empty());
    let in_body = body.text_of("Action").map_err(ReadError::into_input)?;
    let mut names = [query.get("Action"), in_path, in_body]
        .into_iter()
        .flatten();
    let name = names.next();
    match (name, names.next()) {
        (Some(first), Some(second)) if first != second => Err(InputError::TwoActions {
            first: first.to_owned(),
            second: second.to_owned(),
        }),
        _ => Ok(name),
    }
}

/// `data`.
fn laid_out(output: &dyn Encode, layout: Layout, label: &Label) -> Value {
    let mut members = output.to_json();
    let mut taken = |member: &str| members.get_mut(member).map(Value::take);
    match (layout, label) {
        (Layout::Resource(member), Label::Resource { id, created_at }) => {
            let mut data = Map::new();
            data.insert("id".to_owned(), id.as_str().into());
            if let Some(created_at) = created_at {
                data.insert("created_at".to_owned(), created_at.as_str().into());
            }
            if let Some(Value::Object(resource)) = taken(member) {
                data.extend(resource);
            }
            Value::Object(data)
        }
        (Layout::Page(member), Label::Page { next }) => {
            let items = taken(member).unwrap_or_else(|| Value::Array(Vec::new()));
            json!({ "items": items, "next": next })
        }
        _ => members,
    }
}
