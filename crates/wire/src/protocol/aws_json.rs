//! AWS JSON 1.1: the operation in X-Amz-Target, a JSON body, and a fault's code in a header.
use bytes::Bytes;
use http::{HeaderName, Method, Response};
use serde_json::json;

use super::{
    input::InputError,
    interface::{
        Answer, Asked, Dialect, Directory, Input, Protocol, Service, media_type, respond,
        with_error_type,
    },
    json::Tree,
    node::{Node, Unknown},
    query::GET_AND_POST,
};
use crate::{Fault, RawRequest};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// AWS JSON 1.1.
#[derive(Debug)]
pub(super) struct AwsJson;

impl Protocol for AwsJson {
    fn methods(&self) -> &'static [Method] {
        GET_AND_POST
    }

    fn asks(&self, request: &RawRequest, _: &Directory) -> bool {
        media_type(request).starts_with("application/x-amz-json-")
            || request.headers.contains_key(TARGET)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Json
    }

    fn read(&self, request: &RawRequest, directory: &Directory) -> Result<Asked, InputError> {
        let target = request.headers.get(TARGET);
        let target = target.and_then(|value| value.to_str().ok());
        let target = target.unwrap_or_default();
        let named = directory.services.iter().find_map(|service| {
            let operation = target.strip_prefix(service.target?)?;
            Some((service.name, operation))
        });
        // A bare operation is of no service yet.
        let (service, operation) = match named {
            Some((service, operation)) => (Some(service), operation),
            None => (None, target),
        };
        if operation.is_empty() {
            return Err(InputError::NoTarget);
        }
        let root = Tree::parse(&request.body).map(|tree| Box::new(tree) as Box<dyn Node>);
        Ok(Asked {
            service,
            action: operation.to_owned(),
            input: Input::new(root, Unknown::Ignore),
            status: 200,
        })
    }

    fn success(&self, answer: &Answer<'_>) -> Response<Bytes> {
        let body = answer.output.to_json().to_string();
        respond(answer.status, CONTENT_TYPE, body, answer.request_id)
    }

    fn fault(&self, fault: &Fault, _: &Service, request_id: &str) -> Response<Bytes> {
        let body = json!({ "__type": fault.code, "message": fault.message }).to_string();
        let response = respond(fault.status, CONTENT_TYPE, body, request_id);
        with_error_type(response, fault)
    }
}
