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

use std::collections::HashMap;

use model::{Account, Arn, Region, key::EncryptionContext};

use condition::{Condition, Match};
use effort::Effort;
use pattern::Pattern;

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

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    effect: Effect,
    principals: Listed<Principal>,
    /// Of lower case, as is what they are compared with.
    actions: Listed<Pattern>,
    resources: Listed<Pattern>,
    conditions: Vec<Condition>,
}

/// What a statement lists: what it is for, or (`NotAction` and the like) all but what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Listed<T> {
    These(Vec<T>),
    AllBut(Vec<T>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Principal {
    /// `*`.
    Everyone,
    /// An account, its root, or a user or role of it; the partition when an ARN said it.
    Account {
        account: Account,
        partition: Option<String>,
        /// Whether the account itself is named, and not only somebody of it.
        whole: bool,
    },
    /// A service, a federation, a canonical user: none of ours.
    Stranger,
}

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
struct Question<'a> {
    request: &'a Request<'a>,
    /// Of lower case.
    action: String,
    key: String,
    /// The encryption context by names of lower case; none where two differ in case only.
    context: HashMap<String, Option<&'a str>>,
    effort: Effort,
}

impl<'a> Question<'a> {
    fn new(request: &'a Request<'a>) -> Self {
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

impl Statement {
    fn applies(&self, asked: &Question<'_>) -> Match {
        let parts = [
            self.is_for(asked),
            self.actions.has(&asked.action, &asked.effort),
            self.resources.has(&asked.key, &asked.effort),
        ];
        let conditions = self.conditions.iter().map(|one| one.holds(asked));
        parts
            .into_iter()
            .chain(conditions)
            .fold(Match::Yes, Match::and)
    }

    fn is_for(&self, asked: &Question<'_>) -> Match {
        Match::from(match &self.principals {
            Listed::These(named) => named.iter().any(|one| one.speaks_of(asked.request)),
            // Who is excepted by the name of one of its users only may be somebody else of it.
            Listed::AllBut(named) => !named.iter().any(|one| one.is_whole_of(asked.request)),
        })
    }
}

impl Listed<Pattern> {
    fn has(&self, text: &str, effort: &Effort) -> Match {
        let any = |patterns: &[Pattern]| {
            patterns
                .iter()
                .map(|pattern| pattern.matches(text, effort))
                .fold(Match::No, Match::or)
        };
        match self {
            Self::These(patterns) => any(patterns),
            Self::AllBut(patterns) => any(patterns).not(),
        }
    }
}

impl Principal {
    fn speaks_of(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Account {
                account, partition, ..
            } => {
                account == request.principal_account
                    && partition
                        .as_ref()
                        .is_none_or(|name| name == request.key_arn.region.partition())
            }
            Self::Stranger => false,
        }
    }

    fn is_whole_of(&self, request: &Request<'_>) -> bool {
        let whole = !matches!(self, Self::Account { whole: false, .. });
        whole && self.speaks_of(request)
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

/// The policy of `alias/aws/rds`: through RDS its account may use it; directly, only look at it.
pub fn service_policy(region: &Region, account: &Account) -> String {
    let partition = region.partition();
    serde_json::json!({
        "Version": "2012-10-17",
        "Id": "auto-rds-2",
        "Statement": [
            {
                "Sid": "Allow access through RDS for all principals in the account that are authorized to use RDS",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                    "kms:CreateGrant", "kms:ListGrants", "kms:DescribeKey"
                ],
                "Resource": "*",
                "Condition": {"StringEquals": {
                    "kms:CallerAccount": account.as_str(),
                    "kms:ViaService": format!("rds.{region}.amazonaws.com")
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
