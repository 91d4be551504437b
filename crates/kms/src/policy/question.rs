//! What is asked of a key, and how it is made ready for the answer.
use std::collections::HashMap;

use model::{Account, Arn, key::EncryptionContext};

use super::effort::Effort;

/// What is asked of a key.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal_account: &'a Account,
    /// Such as `kms:Decrypt`.
    pub action: &'a str,
    /// The key.
    pub key_arn: &'a Arn,
    /// What conditions may look at.
    pub conditions: &'a Conditions,
}

/// What the conditions of a policy may look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `kms:ViaService`: the service that acts for the caller, such as
    /// `rds.us-east-1.amazonaws.com`.
    pub via_service: Option<String>,
    /// `kms:GrantIsForAWSResource`, in requests about grants.
    pub grant_is_for_aws_resource: Option<bool>,
    /// `kms:EncryptionContext:…`.
    pub encryption_context: EncryptionContext,
}

/// A request, made ready to be compared with many statements, and what that may cost.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) request: &'a Request<'a>,
    /// Of lower case.
    pub(super) action: String,
    pub(super) key: String,
    /// The encryption context by names of lower case; none where two differ in case only.
    pub(super) context: HashMap<String, Option<&'a str>>,
    pub(super) effort: Effort,
}

impl<'a> Question<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Self {
        let mut context = HashMap::new();
        for (name, value) in &request.conditions.encryption_context {
            context
                .entry(name.to_ascii_lowercase())
                .and_modify(|value| *value = None)
                .or_insert(Some(value.as_str()));
        }
        Self {
            request,
            action: request.action.to_ascii_lowercase(),
            key: request.key_arn.to_string(),
            context,
            effort: Effort::new(),
        }
    }
}
