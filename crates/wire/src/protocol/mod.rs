//! The protocols that requests are written in, and what they share.
//!
//! Adding one is its file and its line in `PROTOCOLS`; see docs/adding/protocol.md.
mod aws_json;
mod form;
mod input;
mod interface;
pub mod json;
mod json_envelope;
mod node;
mod query;
mod rest_json;
pub mod xml;

use bytes::Bytes;
use http::{Method, Response};

pub use self::{
    form::{DEPTH_MAX, PARAMETERS_MAX, Parameters},
    input::{InputCode, InputError},
    interface::{
        Answer, Asked, Dialect, Directory, Encode, Input, Label, Layout, Protocol, Route, Service,
    },
    node::Unknown,
};
use crate::{Fault, RawRequest};

/// All protocols. The first that claims a request has it, and the last claims every one.
static PROTOCOLS: &[&dyn Protocol] = &[
    &rest_json::RestJson,
    &aws_json::AwsJson,
    &json_envelope::JsonEnvelope,
    &query::Query,
];

/// The protocols over the services of a directory.
#[derive(Debug)]
pub struct Protocols {
    list: &'static [&'static dyn Protocol],
    directory: &'static Directory,
}

impl Protocols {
    /// All of them.
    pub const fn new(directory: &'static Directory) -> Self {
        Self {
            list: PROTOCOLS,
            directory,
        }
    }

    /// The protocols of a request, by its head.
    pub fn of(&self, request: &RawRequest) -> Spoken {
        let first = |claims: &dyn Fn(&dyn Protocol) -> bool| {
            let mut list = self.list.iter().copied();
            list.find(|protocol| claims(*protocol))
                .unwrap_or(&query::Query)
        };
        Spoken {
            directory: self.directory,
            asked: first(&|protocol| protocol.asks(request, self.directory)),
            answered: first(&|protocol| protocol.answers(request, self.directory)),
        }
    }
}

/// The protocols of one request: the one that it is written in, and that of its answer.
#[derive(Debug, Clone, Copy)]
pub struct Spoken {
    directory: &'static Directory,
    asked: &'static dyn Protocol,
    answered: &'static dyn Protocol,
}

impl Spoken {
    /// The methods that such requests have.
    pub fn methods(&self) -> &'static [Method] {
        self.asked.methods()
    }

    /// Which of AWS's lists of common errors the answer takes its codes from.
    pub fn dialect(&self) -> Dialect {
        self.answered.dialect()
    }

    /// What the whole request asks for.
    ///
    /// # Errors
    /// As [`Protocol::read`].
    pub fn read(&self, request: &RawRequest) -> Result<Asked, InputError> {
        self.asked.read(request, self.directory)
    }

    /// A good answer.
    pub fn success(&self, answer: &Answer<'_>) -> Response<Bytes> {
        self.answered.success(answer)
    }

    /// A fault; the first service of the directory answers where none is known.
    pub fn fault(
        &self,
        fault: &Fault,
        service: Option<&Service>,
        request_id: &str,
    ) -> Response<Bytes> {
        let service = service.unwrap_or(&self.directory.services[0]);
        self.answered.fault(fault, service, request_id)
    }
}

#[cfg(test)]
mod tests;
