//! The rooms that a sweep does not need: an engine of two pages, a courier and a carrier.
//!
//! It does not know who is given them.
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use engine::{
    DumpInfo, DumpSink, Engine, EngineError, Examined, Home, NewCluster, Profile, ServerState,
};

use super::ground::page;
use crate::{
    events::transport::{Courier, CourierError},
    link::transport as http_link,
};

/// An engine whose clusters hold two pages, one of which is always new.
#[derive(Debug)]
pub(in crate::sweep) struct Pages;

#[async_trait]
impl Engine for Pages {
    fn profile(&self) -> &'static Profile {
        engine::profile("aurora-postgresql").expect("it is there")
    }
    fn searched(&self) -> Vec<PathBuf> {
        Vec::new()
    }
    fn series<'a>(&self, version: &'a str) -> &'a str {
        version
    }
    fn verifier(&self, _: &str) -> String {
        String::new()
    }
    fn installed(&self) -> Vec<String> {
        vec!["15.18".to_owned()]
    }
    async fn create(&self, _: &Home, _: &NewCluster) -> Result<(), EngineError> {
        Ok(())
    }
    async fn start(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    async fn stop(&self, _: &Home, _: Duration) -> Result<(), EngineError> {
        Ok(())
    }
    async fn state(&self, _: &Home) -> Result<ServerState, EngineError> {
        Ok(ServerState::Answers)
    }
    fn dump(&self, _: &Home, sink: &mut dyn DumpSink) -> Result<DumpInfo, EngineError> {
        static NEXT: Mutex<u8> = Mutex::new(10);
        let mut next = NEXT.lock().expect("no holder panics");
        *next = next.wrapping_add(1).max(10);
        let content = [page(1), page(*next)].concat();
        let taken = sink
            .file("a", 0o600, Arc::new(content))
            .and_then(|()| sink.settle());
        taken.map_err(|source| EngineError::Sink {
            source,
            file: "a".to_owned(),
        })?;
        Ok(DumpInfo {
            left_out: Vec::new(),
            document: "{}".to_owned(),
        })
    }
    async fn load(&self, _: &Home, _: &str) -> Result<(), EngineError> {
        Ok(())
    }
    async fn remove(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    async fn trim_log(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    fn hold(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    fn release(&self, _: &Home) {}
    async fn ended(&self) {
        std::future::pending().await
    }
    async fn examine(&self, _: &Home) -> Result<Examined, EngineError> {
        Ok(Examined::default())
    }
    fn use_tls(&self, _: engine::Tls) {}
    async fn renew(&self, _: &Home) -> Result<(), EngineError> {
        Ok(())
    }
    fn helper_uids(&self) -> Vec<u32> {
        Vec::new()
    }
}

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
