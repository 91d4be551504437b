//! Sends spans to a collector, some together, and never waits with anything else for it.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, header};
use tokio::sync::Mutex;

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
/// Between two lines of the log that tell of lost spans.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// What a collector answers that takes the same message later (OTLP/HTTP, "Retryable Response Codes").
const LATER: [u16; 4] = [429, 502, 503, 504];

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
            losses: Mutex::default(),
        })
    }
}

/// Spans that were lost and of which the log does not tell yet.
#[derive(Debug, Default)]
struct Losses {
    spans: u64,
    /// What the collector last answered that will not have them.
    status: Option<u16>,
    told_at: Option<Instant>,
}

impl Losses {
    /// Tells of them, though not too often.
    fn tell(&mut self, now: Instant) {
        let is_due = self
            .told_at
            .is_none_or(|at| TOLD_EVERY <= now.saturating_duration_since(at));
        if is_due {
            self.tell_now(now);
        }
    }

    fn tell_now(&mut self, now: Instant) {
        if self.spans == 0 {
            return;
        }
        let (lost, status) = (self.spans, self.status);
        tracing::warn!(
            lost,
            status,
            "spans were lost: the collector takes too few, or answers with a status that will not change"
        );
        (self.spans, self.status, self.told_at) = (0, None, Some(now));
    }
}

/// What became of a message.
enum Sent {
    Taken,
    /// The collector will not have it, now or later.
    Refused(u16),
    /// Its spans wait.
    Kept(String),
}

/// Sends spans.
#[derive(Debug)]
pub(crate) struct Sender {
    traces: Traces,
    instance: String,
    poster: Poster,
    /// Held while a message is under way.
    losses: Mutex<Losses>,
}

impl Sender {
    /// Sends spans as they end, for ever. That none can be sent is logged once, and when it is over.
    pub(crate) async fn run(&self) {
        let mut fails = false;
        loop {
            self.traces.collector.ready().await;
            tokio::time::sleep(GATHER).await;
            while let Some((sent, is_full)) = self.send().await {
                match sent {
                    Sent::Taken if fails => {
                        tracing::info!("traces are sent again");
                        fails = false;
                    }
                    Sent::Taken | Sent::Refused(_) => {}
                    Sent::Kept(error) => {
                        if !fails {
                            tracing::warn!(endpoint = self.traces.endpoint, %error, "traces cannot be sent");
                        }
                        fails = true;
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
                if !is_full {
                    break;
                }
            }
        }
    }

    /// Sends what is left, if that is soon done, once what is under way is there.
    pub(crate) async fn finish(&self) {
        let all = async { while let Some((Sent::Taken, _)) = self.send().await {} };
        let _ = tokio::time::timeout(LAST, all).await;
        if let Ok(mut losses) = self.losses.try_lock() {
            losses.tell_now(Instant::now());
        }
    }

    /// Sends one message, and says whether it had as many spans as one has; none when there is nothing to send.
    async fn send(&self) -> Option<(Sent, bool)> {
        let mut losses = self.losses.lock().await;
        let (spans, lost) = self.traces.collector.take(BATCH);
        losses.spans += lost;
        losses.tell(Instant::now());
        if spans.is_empty() {
            return None;
        }
        let (count, is_full) = (spans.len(), spans.len() == BATCH);
        let sent = self
            .post(otlp::message(&spans, &self.instance).to_string())
            .await;
        match &sent {
            Sent::Taken => {}
            Sent::Refused(status) => {
                losses.spans += count as u64;
                losses.status = Some(*status);
                losses.tell(Instant::now());
            }
            Sent::Kept(_) => self.traces.collector.put_back(spans),
        }
        Some((sent, is_full))
    }

    async fn post(&self, body: String) -> Sent {
        match self.status_of(body).await {
            Ok(200..=299) => Sent::Taken,
            Ok(status) if LATER.contains(&status) => {
                Sent::Kept(format!("it answers with status {status}"))
            }
            Ok(status) => Sent::Refused(status),
            Err(error) => Sent::Kept(error),
        }
    }

    /// What the collector answers to a message.
    async fn status_of(&self, body: String) -> Result<u16, String> {
        let address = Address::parse(&self.traces.endpoint);
        let address = address.ok_or("the endpoint is not an http or https URL")?;
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let posted = self
            .poster
            .post(&address, headers, body.into(), BodyLimit::Head);
        let (status, _) = posted.await.map_err(|error| error.0)?;
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_at_once_and_then_each_minute() {
        let begun = Instant::now();
        let mut losses = Losses::default();
        losses.tell(begun);
        assert_eq!(losses.told_at, None, "there are none");
        let mut left_at = |seconds| {
            losses.spans += 1;
            losses.tell(begun + Duration::from_secs(seconds));
            losses.spans
        };
        assert_eq!([0, 1, 59, 60, 61].map(&mut left_at), [0, 1, 2, 0, 1]);
        losses.tell_now(begun);
        assert_eq!(losses.spans, 0);
    }
}
