//! AWS Query: parameters in a form or a query string, XML back. What no other protocol claims is
//! taken for it.
use bytes::Bytes;
use http::{Method, Response};

use super::{
    form::Parameters,
    input::InputError,
    interface::{Answer, Asked, Dialect, Directory, Input, Protocol, Service, respond},
    node::Unknown,
    xml,
};
use crate::{Fault, RawRequest};

const CONTENT_TYPE: &str = "text/xml";
/// The methods of protocols that know no resources.
pub(super) const GET_AND_POST: &[Method] = &[Method::GET, Method::POST];

/// AWS Query.
#[derive(Debug)]
pub(super) struct Query;

impl Protocol for Query {
    fn methods(&self) -> &'static [Method] {
        GET_AND_POST
    }

    fn asks(&self, _: &RawRequest, _: &Directory) -> bool {
        true
    }

    fn dialect(&self) -> Dialect {
        Dialect::Query
    }

    fn read(&self, request: &RawRequest, _: &Directory) -> Result<Asked, InputError> {
        let body = match request.method {
            Method::POST => std::str::from_utf8(&request.body).map_err(|_| InputError::NotUtf8)?,
            _ => "",
        };
        let parameters = Parameters::parse(&request.query, body)?;
        let action = parameters.get("Action").filter(|name| !name.is_empty());
        let action = action.ok_or(InputError::NoAction)?.to_owned();
        Ok(Asked {
            service: None,
            action,
            input: Input::new(Ok(parameters.into_node()), Unknown::Ignore),
            status: 200,
        })
    }

    fn success(&self, answer: &Answer<'_>) -> Response<Bytes> {
        let namespace = answer.service.namespace;
        let body = answer
            .output
            .to_xml(answer.action, namespace, answer.request_id);
        respond(answer.status, CONTENT_TYPE, body, answer.request_id)
    }

    fn fault(&self, fault: &Fault, service: &Service, request_id: &str) -> Response<Bytes> {
        let body = xml::fault(fault, service.namespace, request_id);
        respond(fault.status, CONTENT_TYPE, body, request_id)
    }
}
