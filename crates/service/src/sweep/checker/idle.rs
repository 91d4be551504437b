//! The rooms that a sweep does not need: a courier and a carrier.
//!
//! It does not know who is given them.
use async_trait::async_trait;

use crate::{
    events::transport::{Courier, CourierError},
    link::transport as http_link,
};

#[derive(Debug)]
pub(in crate::sweep) struct NoCourier;

#[async_trait]
impl Courier for NoCourier {
    async fn post(
        &self,
        _: &str,
        _: http::HeaderMap,
        _: bytes::Bytes,
    ) -> Result<u16, CourierError> {
        Ok(200)
    }
}

#[derive(Debug)]
pub(in crate::sweep) struct NoCarrier;

#[async_trait]
impl http_link::Carrier for NoCarrier {
    async fn post(
        &self,
        _: &crate::link::peer::Peer,
        _: &str,
        _: (&'static str, String),
        _: bytes::Bytes,
        _: usize,
    ) -> Result<http_link::Answer, http_link::CarrierError> {
        unreachable!("no region here is another deployment's")
    }
}
