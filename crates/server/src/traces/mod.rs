//! Traces: spans of requests, jobs and their stages, sent to a collector by OTLP over HTTP.
//!
//! Nothing of it is there unless `--otlp-endpoint` is given.
mod collector;
mod otlp;
mod sender;

pub(crate) use self::{
    collector::is_traced,
    sender::{Sender, Traces},
};
