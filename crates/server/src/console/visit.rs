//! One request of someone who is signed in: who, where, and what the API answers them.
use std::sync::Arc;

use api::{Api, Origin};
use maud::{Markup, html};
use model::{Account, Region, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::Parameters;

use super::{
    backend::Backend, cookies::Theme, reached::ROOT, refusal::Refusal, sessions::SignedIn,
};

/// What a page is called.
pub(super) struct Entry {
    /// What follows the region in its address.
    pub(super) path: &'static str,
    /// Its title, which is also its name in the navigation.
    pub(super) title: &'static str,
    /// The key that goes to it after `g`; only a page that has one is in the navigation.
    pub(super) key: Option<&'static str>,
}

/// What a change has done.
#[derive(Debug)]
pub(super) struct Done {
    /// The page that is shown next.
    pub(super) next: String,
    /// What is said there.
    pub(super) notice: String,
}

/// A request of someone who is signed in.
pub(super) struct Visit<'c> {
    pub(super) backend: &'c Arc<Backend>,
    /// Who.
    pub(super) signed_in: SignedIn,
    /// From where.
    pub(super) origin: Origin,
    /// The region that is looked at.
    pub(super) region: Region,
    /// What follows the question mark.
    pub(super) query: Parameters,
    /// Light or dark.
    pub(super) theme: Theme,
    /// The accounts that the browser has sessions for.
    pub(super) accounts: Vec<Account>,
    /// The page that is asked for.
    pub(super) page: &'static Entry,
    /// All pages.
    pub(super) navigation: &'static [Entry],
}

impl Visit<'_> {
    /// Asks the API, in the region that is looked at. Members without a value are left out.
    ///
    /// # Errors
    /// The API's fault, or an answer that is not of this shape.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        api: Api,
        action: &str,
        input: Value,
    ) -> Result<T, Refusal> {
        self.ask_in(&self.region, api, action, input).await
    }

    /// The same in another region.
    ///
    /// # Errors
    /// The same.
    pub(super) async fn ask_in<T: DeserializeOwned>(
        &self,
        region: &Region,
        api: Api,
        action: &str,
        input: Value,
    ) -> Result<T, Refusal> {
        let who = (&self.signed_in.caller, &self.origin);
        self.backend.ask(who, region, (api, action), input).await
    }

    /// The account that is signed in.
    pub(super) fn account(&self) -> &Account {
        &self.signed_in.caller.account
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        self.backend.now()
    }

    /// A parameter of the address that is there and not empty.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        self.query.get(name).filter(|value| !value.is_empty())
    }

    /// The address of a page, by its path, in this account and region.
    pub(super) fn link(&self, page: &str) -> String {
        self.link_in(&self.region, page)
    }

    /// The address of a page in another region.
    pub(super) fn link_in(&self, region: &Region, page: &str) -> String {
        format!("{ROOT}{}/{region}/{page}", self.account())
    }

    /// The address of a page with parameters; those that are empty are left out.
    pub(super) fn link_with(&self, page: &str, parameters: &[(&str, &str)]) -> String {
        with_query(self.link(page), parameters)
    }

    /// The field that each form has to have.
    pub(super) fn token(&self) -> Markup {
        html! { input type="hidden" name="token" value=(self.signed_in.token); }
    }
}

/// An address with parameters; those that are empty are left out.
pub(super) fn with_query(mut address: String, parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    for (number, (name, value)) in given.enumerate() {
        address.push(if number == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        address.push_str(&wire::percent_encode(value.as_bytes()));
    }
    address
}
