//! Sends spans to a collector, some together, and never waits with anything else for it.
use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};

use super::{collector::Collector, otlp};
use crate::{
    outbound::http_client::{BodyLimit, Poster},
    settings::address::Address,
};

/// Spans of one message.
const BATCH: usize = 512;
/// Spans that end within this time go together.
const GATHER: Duration = Duration::from_secs(1);
/// Between two tries where the collector does not answer.
const PAUSE: Duration = Duration::from_secs(5);
/// What is left at the server's end is sent within this time, or not at all.
const LAST: Duration = Duration::from_secs(1);

/// Spans, and where they go.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    collector: Collector,
    endpoint: String,
}

impl Traces {
    /// Has spans collected for an endpoint of OTLP.
    pub(crate) fn begin(endpoint: &str) -> Self {
        let collector = Collector::new();
        service::trace::install(Box::new(collector.clone()));
        let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        Self {
            collector,
            endpoint,
        }
    }

    /// What hears of spans.
    pub(crate) fn collector(&self) -> Collector {
        self.collector.clone()
    }

    /// What sends them, in the name of an instance.
    pub(crate) fn sender(&self, instance: &str) -> Arc<Sender> {
        Arc::new(Sender {
            traces: self.clone(),
            instance: instance.to_owned(),
            poster: Poster::default(),
        })
    }
}

/// Sends spans.
#[derive(Debug)]
pub(crate) struct Sender {
    traces: Traces,
    instance: String,
    poster: Poster,
}

impl Sender {
    /// Sends spans as they end, for ever. That none can be sent is logged once, and when it is over.
    pub(crate) async fn run(&self) {
        let mut fails = false;
        loop {
            self.traces.collector.ready().await;
            tokio::time::sleep(GATHER).await;
            while let Some(sent) = self.send().await {
                match sent {
                    Ok(()) if fails => tracing::info!("traces are sent again"),
                    Ok(()) => {}
                    Err(error) => {
                        if !fails {
                            tracing::warn!(endpoint = self.traces.endpoint, %error, "traces cannot be sent");
                        }
                        fails = true;
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
                fails = false;
            }
        }
    }

    /// Sends what is left, if that is soon done.
    pub(crate) async fn finish(&self) {
        let all = async { while let Some(Ok(())) = self.send().await {} };
        let _ = tokio::time::timeout(LAST, all).await;
    }

    /// Sends one message; none when there is nothing to send.
    async fn send(&self) -> Option<Result<(), String>> {
        let (spans, lost) = self.traces.collector.take(BATCH);
        if 0 < lost {
            tracing::warn!(lost, "spans were lost: the collector takes too few");
        }
        if spans.is_empty() {
            return None;
        }
        let sent = self
            .post(otlp::message(&spans, &self.instance).to_string())
            .await;
        if sent.is_err() {
            self.traces.collector.put_back(spans);
        }
        Some(sent)
    }

    async fn post(&self, body: String) -> Result<(), String> {
        let address = Address::parse(&self.traces.endpoint);
        let address = address.ok_or("the endpoint is not an http or https URL")?;
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let posted = self
            .poster
            .post(&address, headers, body.into(), BodyLimit::Head);
        match posted.await.map_err(|error| error.0)? {
            (200..=299, _) => Ok(()),
            (status, _) => Err(format!("it answers with status {status}")),
        }
    }
}
