//! Key policies: who may do what with a key.
//!
//! It does not know which API asks, nor any identity but accounts: an access key acts for its
//! whole account, so a policy that names the account's root, a user or a role of it speaks of
//! the account. Source: "Key policies in AWS KMS" and "IAM JSON policy elements reference".
//!
//! Invariant: what is not understood never opens a key. An unknown condition operator, key or
//! policy variable keeps an Allow from applying and lets a Deny apply, and so does a question
//! that would take more steps than one may.
mod condition;
mod effort;
mod parse;
mod pattern;
mod question;
mod statement;
mod truth;

use model::{Account, Region};

pub use question::{Conditions, Request};

use question::Question;
use statement::{Effect, Principal, Statement};
use truth::Match;

/// The largest policy document, bytes, as PutKeyPolicy has it.
pub const POLICY_BYTES_MAX: usize = 32 << 10;

/// Why a text is not a key policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than 32 KiB.
    #[error("the policy has {0} bytes, and a policy has at most 32768")]
    Size(usize),
    /// Not JSON, or not the JSON of a policy.
    #[error("the policy is malformed: {0}")]
    Malformed(String),
}

/// A key policy that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// What a policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A Deny applies: nothing else can allow it.
    Deny,
    /// An Allow applies, and no Deny.
    Allow,
    /// No statement applies: a grant may still allow it.
    Silent,
}

impl Policy {
    /// Reads a policy document. A statement without a resource or an action is read and left out:
    /// "the policy statement has no effect" (CreateKey, KMS API reference).
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if POLICY_BYTES_MAX < text.len() {
            return Err(PolicyError::Size(text.len()));
        }
        let statements = parse::statements(text).map_err(PolicyError::Malformed)?;
        Ok(Self { statements })
    }

    /// Whether a request is allowed: some Allow applies, and no Deny does.
    pub fn allows(&self, request: &Request<'_>) -> bool {
        self.decide(request) == Decision::Allow
    }

    /// Whether what it says may depend on a request's encryption context.
    pub fn sees_context(&self) -> bool {
        let mut conditions = self.statements.iter().flat_map(|one| &one.conditions);
        conditions.any(condition::Condition::sees_context)
    }

    /// What the policy says of a request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let asked = Question::new(request);
        let mut decision = Decision::Silent;
        for statement in &self.statements {
            match (statement.applies(&asked), statement.effect) {
                (Match::Yes | Match::Unknown, Effect::Deny) => return Decision::Deny,
                (Match::Yes, Effect::Allow) => decision = Decision::Allow,
                _ => {}
            }
        }
        decision
    }
}

/// The account that a principal of a grant belongs to: an account's root, a user or a role of it
/// by its ARN, or the account's number.
///
/// # Errors
/// When it is none of these; `*` is no grantee.
pub fn principal_account(text: &str) -> Result<Account, PolicyError> {
    match parse::principal(text) {
        Ok(Principal::Account { account, .. }) => Ok(account),
        _ => Err(PolicyError::Malformed(
            "a principal is neither an account nor the ARN of one".to_owned(),
        )),
    }
}

/// The policy that a key gets when its creator gives none: its account may do everything.
pub fn default_policy(region: &Region, account: &Account) -> String {
    let partition = region.partition();
    serde_json::json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:{partition}:iam::{account}:root")},
            "Action": "kms:*",
            "Resource": "*"
        }]
    })
    .to_string()
}

/// The policy of a service's key, such as `alias/aws/rds`: through the service its account may use
/// it; directly, only look at it.
pub fn service_policy(service: &str, title: &str, region: &Region, account: &Account) -> String {
    let partition = region.partition();
    serde_json::json!({
        "Version": "2012-10-17",
        "Id": format!("auto-{service}-2"),
        "Statement": [
            {
                "Sid": format!(
                    "Allow access through {title} for all principals in the account that are authorized to use {title}"
                ),
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                    "kms:CreateGrant", "kms:ListGrants", "kms:DescribeKey"
                ],
                "Resource": "*",
                "Condition": {"StringEquals": {
                    "kms:CallerAccount": account.as_str(),
                    "kms:ViaService": format!("{service}.{region}.amazonaws.com")
                }}
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:{partition}:iam::{account}:root")},
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                "Resource": "*"
            }
        ]
    })
    .to_string()
}

#[cfg(test)]
mod tests;
