//! What is behind the pages: the API, and who is signed in.
use std::sync::Arc;

use api::{Api, Dispatch, Origin};
use http::StatusCode;
use model::{Account, Region, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use service::{Mode, Service, auth::caller::Caller};

use super::{live::Live, reached::ROOT, refusal::Refusal, sessions::Sessions};

/// What is behind the pages.
pub(super) struct Backend {
    pub(super) api: Dispatch,
    pub(super) service: Arc<Service>,
    pub(super) sessions: Sessions,
    pub(super) live: Live,
}

impl Backend {
    /// With nobody signed in.
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self {
            api: Dispatch::new(&service),
            service,
            sessions: Sessions::default(),
            live: Live::default(),
        }
    }

    /// Asks the API as a caller. Members without a value are left out.
    ///
    /// # Errors
    /// The API's fault, or an answer that is not of this shape.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        who: (&Caller, &Origin),
        region: &Region,
        (api, action): (Api, &str),
        input: Value,
    ) -> Result<T, Refusal> {
        let given: Map<String, Value> = match input {
            Value::Object(members) => {
                let given = members.into_iter();
                given.filter(|(_, value)| !value.is_null()).collect()
            }
            _ => Map::new(),
        };
        let input = Value::Object(given);
        let asked = self.api.act(who, region, (api, action), &input);
        serde_json::from_value(asked.await?).map_err(|error| {
            tracing::error!(action, %error, "an answer is not of the shape that the console knows");
            Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The console does not know this answer of the API; the server's log says more.",
            )
        })
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        self.service.context().now()
    }

    /// Whether secrets are checked.
    pub(super) fn mode(&self) -> Mode {
        self.service.context().settings.mode
    }

    /// The first page of an account.
    pub(super) fn home_of(&self, account: &Account) -> String {
        let region: &Region = &self.service.context().settings.default_region;
        format!("{ROOT}{account}/{region}/")
    }

    /// Whether whoever signed in may go on.
    ///
    /// # Errors
    /// The catalog's.
    pub(super) async fn may_go_on(&self, caller: &Caller) -> Result<bool, service::fault::Fault> {
        self.service.access().may_go_on(caller).await
    }
}
