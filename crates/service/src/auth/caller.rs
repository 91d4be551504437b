//! Who asks, as the rest of the service knows it.
use model::Account;

use super::sessions::{RoleSession, Session};

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account that the request acts for.
    pub account: Account,
    /// The access key it was signed with; empty when unsigned.
    pub access_key_id: String,
    /// The session whose key that is, when it is a temporary one.
    pub session: Option<Session>,
}

impl Caller {
    /// The ARN that AWS gives who asks: the account's root, or a role's session.
    pub fn arn(&self, partition: &str) -> String {
        match self.role() {
            Some(role) => role.arn(),
            None => format!("arn:{partition}:iam::{}:root", self.account),
        }
    }

    /// The role's session that asks, if it is one.
    pub fn role(&self) -> Option<&RoleSession> {
        self.session.as_ref()?.role.as_ref()
    }

    /// The long-lived access key behind it all, if there is one.
    pub fn issuer(&self) -> Option<String> {
        match &self.session {
            Some(session) => session.issuer.clone(),
            None => Some(self.access_key_id.clone()).filter(|id| !id.is_empty()),
        }
    }
}

/// Who sent a request, when a key proved it: an extension of the response, for whoever has to know
/// strangers from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved(pub String);
