//! `CreateGrant`: lets an account use a key without a word in the key's policy.
//!
//! Who was let by a grant may hand on no more than that: see `kms::grant::may_hand_on`.
use catalog::{CatalogExt, grants};
use data_encoding::HEXLOWER;
use kms::{Decision, grant};
use model::{Account, Grant, Key, key::EncryptionContext, limits};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{
    checks,
    crypto::{self, Extras, unless_dry},
    lookup,
};
use service::{
    fault::{Code, Fault},
    keys::kms_fault,
    keys::{KeyError, KeyUser, Keys},
};

/// A grant's name has at most so many characters.
const NAME_CHARS_MAX: usize = 256;
/// A constraint has at most so many pairs, of so many characters together ("CreateGrant").
const CONSTRAINT_PAIRS_MAX: usize = 8;
const CONSTRAINT_CHARS_MAX: usize = 384;

/// `Constraints`.
#[derive(Debug, Default, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Constraints {
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context_subset: Option<EncryptionContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context_equals: Option<EncryptionContext>,
}

impl Constraints {
    /// As a grant has them; none when it has none.
    pub(super) fn of(grant: &Grant) -> Option<Self> {
        (grant.context_subset.is_some() || grant.context_equals.is_some()).then(|| Self {
            encryption_context_subset: grant.context_subset.clone(),
            encryption_context_equals: grant.context_equals.clone(),
        })
    }
}

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateGrant {
    key_id: String,
    grantee_principal: String,
    retiring_principal: Option<String>,
    operations: Vec<String>,
    constraints: Option<Constraints>,
    #[serde(default)]
    grant_tokens: Vec<String>,
    name: Option<String>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GrantCreated {
    grant_token: String,
    grant_id: String,
}

impl Output for GrantCreated {}

impl Action for CreateGrant {
    const NAME: &'static str = "CreateGrant";
    const API: Api = Api::Kms;
    type Output = GrantCreated;

    async fn run(self, cx: &ActionContext) -> Result<GrantCreated, Fault> {
        Extras {
            tokens: &self.grant_tokens,
            ..Extras::default()
        }
        .check(cx)
        .await?;
        checks::refuse_alias(&self.key_id)?;
        let key = lookup::find(cx, &self.key_id, "kms:CreateGrant").await?;
        Keys::usable(&key).map_err(kms_fault)?;
        let dry_run = self.dry_run;
        let grant = self.grant(cx, &key)?;
        may_make(cx, &key, &grant).await?;
        unless_dry(dry_run)?;
        let made = cx.service.catalog.write(move |tx| keep(tx, &grant)).await?;
        Ok(GrantCreated {
            grant_token: made.token,
            grant_id: made.id,
        })
    }
}

impl CreateGrant {
    fn grant(self, cx: &ActionContext, key: &Key) -> Result<Grant, Fault> {
        let name = self.name.unwrap_or_default();
        let legal = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
        if NAME_CHARS_MAX < name.len() || !name.chars().all(legal) {
            return Err(Fault::new(
                Code::KmsValidation,
                "Name has at most 256 characters: letters, digits, and any of :/_-",
            ));
        }
        let mut operations = self.operations;
        operations.sort();
        operations.dedup();
        let known = grant::operations(key);
        let unknown = operations.iter().find(|one| !known.contains(&one.as_str()));
        if operations.is_empty() || unknown.is_some() {
            return Err(Fault::new(
                Code::KmsValidation,
                format!(
                    "Operations must be some of {}, which a key of this kind has{}.",
                    known.join(", "),
                    unknown.map_or(String::new(), |one| format!(
                        ": not {}",
                        model::limits::echo(one)
                    ))
                ),
            ));
        }
        let constraints = self.constraints.unwrap_or_default();
        let given = &constraints;
        let constrained =
            given.encryption_context_subset.is_some() || given.encryption_context_equals.is_some();
        if constrained && !key.is_symmetric() {
            return Err(Fault::new(
                Code::KmsValidation,
                "Constraints are about encryption contexts, which only symmetric encryption keys have.",
            ));
        }
        for context in [
            &constraints.encryption_context_subset,
            &constraints.encryption_context_equals,
        ]
        .into_iter()
        .flatten()
        {
            within_limit(context)?;
        }
        let mut bytes = [[0; 16]; 2];
        bytes.fill_with(|| cx.service.entropy.draw());
        let (arn, id) = (key.arn(), HEXLOWER.encode(&bytes.concat()));
        let retiring = self.retiring_principal.as_deref();
        Ok(Grant {
            token: crypto::token(&arn, &id),
            id,
            key: arn,
            name,
            grantee_account: principal(&self.grantee_principal)?,
            retiring_account: retiring.map(principal).transpose()?,
            retiring: self.retiring_principal,
            grantee: self.grantee_principal,
            issuer: cx.caller.account.clone(),
            operations,
            context_equals: constraints.encryption_context_equals,
            context_subset: constraints.encryption_context_subset,
            created_at: cx.service.now(),
        })
    }
}

/// Refuses a constraint beyond what KMS allows; all of a key's grants are looked at when its
/// policy does not decide.
fn within_limit(context: &EncryptionContext) -> Result<(), Fault> {
    let chars: usize = context
        .iter()
        .map(|(name, value)| name.chars().count() + value.chars().count())
        .sum();
    if context.len() <= CONSTRAINT_PAIRS_MAX && chars <= CONSTRAINT_CHARS_MAX {
        return Ok(());
    }
    Err(Fault::new(
        Code::KmsValidation,
        format!(
            "A grant's constraint has at most {CONSTRAINT_PAIRS_MAX} pairs of at most \
             {CONSTRAINT_CHARS_MAX} characters together."
        ),
    ))
}

fn principal(text: &str) -> Result<Account, Fault> {
    kms::policy::principal_account(text).map_err(|_| {
        Fault::new(
            Code::KmsInvalidArn,
            format!(
                "{} is no principal: give an account's number, or the ARN of its root, a user or a role.",
                model::limits::echo(text)
            ),
        )
    })
}

/// Whom the policy lets make grants may make any; whom a grant lets, only within that grant.
async fn may_make(cx: &ActionContext, key: &Key, made: &Grant) -> Result<(), Fault> {
    const ACTION: &str = "kms:CreateGrant";
    let (user, none) = (
        KeyUser::direct(&cx.caller.account),
        EncryptionContext::new(),
    );
    if cx.service.kms.policy_says(&user, key, ACTION, &none) == Decision::Allow {
        return Ok(());
    }
    let own = cx
        .service
        .kms
        .grants_to(&user.account, key)
        .await
        .map_err(kms_fault)?;
    let covered = own.iter().any(|parent| {
        grant::permits(parent, &user.account, ACTION, &none) && grant::may_hand_on(parent, made)
    });
    if covered {
        return Ok(());
    }
    Err(kms_fault(KeyError::Denied {
        account: user.account,
        action: ACTION,
        key: key.arn().to_string(),
    }))
}

/// Keeps the grant, or answers the one that is there already under its name and says the same.
fn keep(tx: &mut dyn catalog::Tx, grant: &Grant) -> Result<Grant, Fault> {
    let there = grants::list(tx, &grant.key, None, limits::GRANTS_MAX)?;
    let same = there.iter().find(|stored| {
        let other = &stored.value;
        let as_new = Grant {
            id: grant.id.clone(),
            token: grant.token.clone(),
            created_at: grant.created_at,
            ..other.clone()
        };
        !grant.name.is_empty() && as_new == *grant
    });
    if let Some(stored) = same {
        return Ok(stored.value.clone());
    }
    if limits::GRANTS_MAX <= there.len() {
        return Err(Fault::new(
            Code::KmsLimitExceeded,
            format!(
                "{} has {} grants: retire or revoke some first.",
                grant.key,
                there.len()
            ),
        ));
    }
    Ok(grants::insert(tx, grant.clone())?.value)
}
