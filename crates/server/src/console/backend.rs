//! What is behind the pages: the API, and who is signed in.
use std::sync::Arc;

use api::Dispatch;
use model::{Account, Region, Timestamp};
use service::{Mode, Service, auth::caller::Caller};

use super::{reached::ROOT, sessions::Sessions};

/// What is behind the pages.
pub(super) struct Backend {
    pub(super) api: Dispatch,
    pub(super) service: Arc<Service>,
    pub(super) sessions: Sessions,
}

impl Backend {
    /// With nobody signed in.
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self {
            api: Dispatch::new(&service),
            service,
            sessions: Sessions::default(),
        }
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
