//! What the actions on clusters share: their requests, the record that a new one begins with, and
//! how one is changed.
pub(crate) mod change;
pub(crate) mod instance_rules;
pub(crate) mod master_password;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod rules;
