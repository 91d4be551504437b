//! What KMS refuses, in its words, and how it pages its lists.
//!
//! Source: the AWS KMS API reference.
use kms::AliasError;
use model::{Account, Arn, ArnKind, Key, key::MultiRegion, key_spec::KeyUsage, limits::echo};

use service::fault::{Code, Fault};

/// Rows of a list at most, and by default (`Limit`).
const ROWS_MAX: i64 = 1_000;
const ROWS_DEFAULT: i64 = 100;
/// Those of `alias/`.
const ALIAS_PREFIX_BYTES: usize = 6;

/// Refuses an operation that is for keys of another usage.
pub(crate) fn used_for(key: &Key, usage: KeyUsage, operation: &str) -> Result<(), Fault> {
    if key.usage == usage {
        return Ok(());
    }
    Err(Fault::new(
        Code::KmsInvalidKeyUsage,
        format!(
            "{} key usage is {} which is not valid for {operation}.",
            key.arn(),
            key.usage.as_str()
        ),
    ))
}

/// An algorithm that is none of a key's.
pub(crate) fn incompatible(key: &Key, algorithm: &str) -> Fault {
    Fault::new(
        Code::KmsInvalidKeyUsage,
        format!(
            "Algorithm {algorithm} is incompatible with key spec {}.",
            key.spec.as_str()
        ),
    )
}

/// Refuses what is done with symmetric encryption keys only.
pub(crate) fn rotates(key: &Key) -> Result<(), Fault> {
    if key.is_symmetric() {
        return Ok(());
    }
    Err(Fault::new(
        Code::KmsUnsupported,
        format!(
            "{} is no symmetric encryption key: no other is rotated.",
            key.arn()
        ),
    ))
}

/// A value that breaks the model's bounds, in the words that KMS has for all of them.
pub(crate) fn bound(value: &str, member: &str, rule: &str) -> Fault {
    Fault::new(
        Code::KmsValidation,
        format!(
            "1 validation error detected: Value '{}' at '{member}' failed to satisfy constraint: \
             Member must {rule}",
            echo(value)
        ),
    )
}

/// What is not for the users of a key that the service manages.
pub(crate) fn managed(key: &Key, action: &str) -> Fault {
    Fault::new(
        Code::KmsAccessDenied,
        format!(
            "{} is managed by AWS: {action} is not for its users.",
            key.arn()
        ),
    )
}

/// Refuses an alias where KMS takes a key's id or ARN only.
pub(crate) fn refuse_alias(key_id: &str) -> Result<(), Fault> {
    let alias = key_id.starts_with("alias/")
        || Arn::parse(key_id).is_ok_and(|arn| arn.kind() == Some(ArnKind::Alias));
    if alias {
        return Err(Fault::new(
            Code::KmsInvalidArn,
            format!(
                "{} is an alias: this operation takes a key id or a key ARN.",
                echo(key_id)
            ),
        ));
    }
    Ok(())
}

/// Refuses the name of an alias that nobody can make.
pub(crate) fn alias_name(name: &str) -> Result<(), Fault> {
    let of_model = |rule| Err(bound(name, "aliasName", rule));
    match kms::check_alias(name) {
        Ok(()) => Ok(()),
        Err(AliasError::Prefix) => Err(Fault::new(
            Code::KmsValidation,
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        )),
        Err(AliasError::Length) if name.len() <= ALIAS_PREFIX_BYTES => {
            Err(Fault::new(Code::KmsValidation, "Invalid identifier"))
        }
        Err(AliasError::Length) => of_model("have length less than or equal to 256"),
        Err(AliasError::Character) if is_of_model(name) => Err(Fault::new(
            Code::KmsValidation,
            format!("{name} contains invalid characters for an alias"),
        )),
        Err(AliasError::Character) => {
            of_model("satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$")
        }
        Err(error @ AliasError::Reserved) => Err(Fault::new(
            Code::KmsInvalidAliasName,
            format!("Invalid AliasName: {error}."),
        )),
    }
}

/// Refuses a replica what is its primary's to do.
pub(crate) fn not_replica(key: &Key) -> Result<(), Fault> {
    if key.multi_region == Some(MultiRegion::Replica) {
        return Err(Fault::new(
            Code::KmsUnsupported,
            format!(
                "{} is a multi-Region replica key: ask for this with the primary key in its region.",
                key.arn()
            ),
        ));
    }
    Ok(())
}

/// Refuses a change of a key that waits for its deletion.
pub(crate) fn not_pending(key: &Key) -> Result<(), Fault> {
    if key.state.is_pending() {
        return Err(Fault::new(
            Code::KmsInvalidState,
            format!("{} is pending deletion.", key.arn()),
        ));
    }
    Ok(())
}

/// `Limit`, as a number of rows.
pub(crate) fn rows(limit: Option<i64>) -> Result<usize, Fault> {
    let limit = limit.unwrap_or(ROWS_DEFAULT);
    usize::try_from(limit)
        .ok()
        .filter(|_| (1..=ROWS_MAX).contains(&limit))
        .ok_or_else(|| {
            Fault::new(
                Code::KmsValidation,
                format!("Limit is {limit}: it must be between 1 and {ROWS_MAX}."),
            )
        })
}

/// Cuts a list that was read one row too long, and says where the next page begins.
pub(crate) fn paged<T>(
    mut list: Vec<T>,
    rows: usize,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = rows < list.len();
    list.truncate(rows);
    let marker = list.last().filter(|_| more).map(key);
    (list, marker)
}

/// Whether the model lets an alias have these characters; KMS itself takes no colon.
fn is_of_model(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b":/_-".contains(&b))
}

/// Checks a key policy's text.
pub(crate) fn policy(text: &str) -> Result<(), Fault> {
    kms::policy::Policy::parse(text)
        .map(drop)
        .map_err(|error| Fault::new(Code::KmsMalformedPolicy, error.to_string()))
}

/// Refuses a policy by which the caller could not change it again, unless told not to look.
pub(crate) fn not_locked_out(
    key: &Key,
    caller: &Account,
    bypass: Option<bool>,
) -> Result<(), Fault> {
    let arn = key.arn();
    let request = kms::policy::Request {
        principal_account: caller,
        action: "kms:PutKeyPolicy",
        key_arn: &arn,
        conditions: &kms::policy::Conditions::default(),
    };
    let policy = kms::policy::Policy::parse(&key.policy);
    if bypass == Some(true) || policy.is_ok_and(|policy| policy.allows(&request)) {
        return Ok(());
    }
    Err(Fault::new(
        Code::KmsMalformedPolicy,
        "The new key policy will not allow you to update the key policy in the future.",
    ))
}
