//! What supervisors and balancers ask: does the process live, and can it work?
//!
//! The answers name nobody and no place: strangers may read them.
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use service::Service;

use crate::http::response::typed;

const JSON: &str = "application/json";

/// A path that probes ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// `/livez`: the process answers.
    Live,
    /// `/readyz`: this node can work; the reasons if not.
    Ready,
    /// `/healthz`: it reaches its catalog.
    Healthy,
}

impl Probe {
    /// The probe at a path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Live),
            "/readyz" => Some(Self::Ready),
            "/healthz" => Some(Self::Healthy),
            _ => None,
        }
    }

    /// Answers.
    pub(crate) async fn answer(self, service: &Service) -> Response<Bytes> {
        match self {
            Self::Live => status(true, "ok"),
            Self::Ready => {
                let readiness = service.readiness().await;
                json(readiness.ready, &readiness)
            }
            Self::Healthy => match service.is_healthy().await {
                true => status(true, "ok"),
                false => status(false, "the catalog does not answer"),
            },
        }
    }
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

fn status(good: bool, status: &'static str) -> Response<Bytes> {
    json(good, &Status { status })
}

fn json(good: bool, body: &impl Serialize) -> Response<Bytes> {
    let code = match good {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut text = serde_json::to_string(body).expect("plain words serialize");
    text.push('\n');
    typed(code, JSON, text)
}
