//! What the KMS actions share: `KeyMetadata`, lookups, pages, and KMS's words for a key's failure.
//!
//! Source: the AWS KMS API reference.
use std::collections::HashSet;

use catalog::{CatalogExt, Stored, Tx, keys as rows};
use kms::AliasError;
use model::{
    Account, Arn, ArnKind, Key, KeyManager, KeyState, Timestamp,
    key::{EncryptionContext, MultiRegion},
    key_spec::KeyUsage,
};
use serde::Serialize;

use crate::action::ActionContext;
use service::{
    fault::{Code, Fault},
    keys::kms_fault,
    keys::{AwsService, KeyError, KeyUser},
};

/// Rows of a list at most, and by default (`Limit`).
const ROWS_MAX: i64 = 1_000;
const ROWS_DEFAULT: i64 = 100;
/// A tag's key and value, characters at most.
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;
/// Those of `alias/`.
const ALIAS_PREFIX_BYTES: usize = 6;

/// A moment as AWS JSON 1.1 writes it: seconds since the epoch, with a fraction.
pub(crate) fn seconds(moment: Timestamp) -> f64 {
    // Microseconds since 1970 fit a double's 53 bits for the next two centuries.
    #[expect(clippy::cast_precision_loss, reason = "a double is the wire's type")]
    let micros = moment.0 as f64;
    micros / 1e6
}

/// `KeyMetadata`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyMetadata {
    #[serde(rename = "AWSAccountId")]
    account: String,
    key_id: String,
    arn: String,
    creation_date: f64,
    enabled: bool,
    description: String,
    key_usage: &'static str,
    key_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<f64>,
    origin: &'static str,
    key_manager: &'static str,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_algorithms: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_algorithms: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac_algorithms: Option<Vec<&'static str>>,
    multi_region: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region_configuration: Option<MultiRegionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_deletion_window_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_key_material_id: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionConfiguration {
    multi_region_key_type: &'static str,
    primary_key: MultiRegionKey,
    replica_keys: Vec<MultiRegionKey>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionKey {
    arn: String,
    region: String,
}

impl MultiRegionConfiguration {
    /// Of a key and its likes in other regions, itself among them.
    fn of(key: &Key, family: &[Key]) -> Option<Self> {
        let role = key.multi_region?;
        let shown = |key: &Key| MultiRegionKey {
            arn: key.arn().to_string(),
            region: key.region.to_string(),
        };
        let (primary, replicas): (Vec<_>, Vec<_>) = family
            .iter()
            .partition(|one| one.multi_region == Some(MultiRegion::Primary));
        Some(Self {
            multi_region_key_type: match role {
                MultiRegion::Primary => "PRIMARY",
                MultiRegion::Replica => "REPLICA",
            },
            primary_key: shown(primary.first().copied().unwrap_or(key)),
            replica_keys: replicas.into_iter().map(shown).collect(),
        })
    }
}

impl KeyMetadata {
    /// Of a key and its likes in other regions, itself among them.
    pub(crate) fn of(key: &Key, family: &[Key]) -> Self {
        Self {
            account: key.account.to_string(),
            key_id: key.id.clone(),
            arn: key.arn().to_string(),
            creation_date: seconds(key.created_at),
            enabled: key.state == KeyState::Enabled,
            description: key.description.clone(),
            key_usage: key.usage.as_str(),
            key_state: key.state.as_str(),
            deletion_date: key.deletion_at.map(seconds),
            origin: "AWS_KMS",
            key_manager: match key.manager {
                KeyManager::Aws => "AWS",
                KeyManager::Customer => "CUSTOMER",
            },
            customer_master_key_spec: key.spec.as_str(),
            key_spec: key.spec.as_str(),
            encryption_algorithms: encryption_algorithms(key),
            signing_algorithms: signing_algorithms(key),
            mac_algorithms: (key.usage == KeyUsage::GenerateVerifyMac).then(|| {
                key.spec
                    .mac_algorithm()
                    .iter()
                    .map(|one| one.as_str())
                    .collect()
            }),
            multi_region: key.multi_region.is_some(),
            multi_region_configuration: MultiRegionConfiguration::of(key, family),
            pending_deletion_window_in_days: key.pending_window_days,
            current_key_material_id: key
                .is_symmetric()
                .then(|| kms::material_id(key, key.current_material)),
        }
    }
}

/// The algorithms of a key that is for encryption.
pub(crate) fn encryption_algorithms(key: &Key) -> Option<Vec<&'static str>> {
    let words = key.spec.encryption_algorithms().iter();
    (key.usage == KeyUsage::EncryptDecrypt).then(|| words.map(|one| one.as_str()).collect())
}

/// The algorithms of a key that is for signatures.
pub(crate) fn signing_algorithms(key: &Key) -> Option<Vec<&'static str>> {
    let words = key.spec.signing_algorithms().iter();
    (key.usage == KeyUsage::SignVerify).then(|| words.map(|one| one.as_str()).collect())
}

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
            cut(value)
        ),
    )
}

/// The key that a caller names in the asked region, if its policy lets the caller do `action`.
pub(crate) async fn find(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
) -> Result<Key, Fault> {
    find_with(cx, key_id, action, &EncryptionContext::new()).await
}

/// The same, for a use with an encryption context. KMS makes a predefined alias's key when it is
/// first asked for.
pub(crate) async fn find_with(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
    context: &EncryptionContext,
) -> Result<Key, Fault> {
    let user = KeyUser::direct(&cx.caller.account);
    if let Some(service) = AwsService::of_default_key(key_id, &user.account, &cx.region) {
        cx.service
            .kms
            .own_default_key(service, &user.account, &cx.region)
            .await
            .map_err(kms_fault)?;
    }
    let kms = &cx.service.kms;
    let key = kms
        .find_for(&user, key_id, &cx.region, action, context)
        .await
        .map_err(kms_fault)?;
    if key.region != cx.region {
        let arn = key.arn();
        return Err(Fault::new(
            Code::KmsNotFound,
            format!("Invalid arn {}", arn.region),
        ));
    }
    Ok(key)
}

/// The caller's own key: what KMS lets nobody do from another account, whatever the policy says.
pub(crate) async fn find_own(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
) -> Result<Key, Fault> {
    let key = find(cx, key_id, action).await?;
    if key.account != cx.caller.account {
        return Err(kms_fault(KeyError::Denied {
            account: cx.caller.account.clone(),
            action,
            key: cut(key_id),
        }));
    }
    Ok(key)
}

/// The caller's own key, by its id or ARN, for what is not done with a service's key.
pub(crate) async fn find_changeable(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
) -> Result<Key, Fault> {
    refuse_alias(key_id)?;
    let key = find_own(cx, key_id, action).await?;
    if key.manager == KeyManager::Aws {
        return Err(managed(&key, action));
    }
    Ok(key)
}

/// Finds, checks and changes a customer's own key; aliases do not serve, as with KMS.
pub(crate) async fn change(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
    change: impl Fn(&mut Key, Timestamp) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<Key, Fault> {
    change_within(cx, key_id, action, move |_, key, now| change(key, now)).await
}

/// The same, for a change that depends on other records.
pub(crate) async fn change_within(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
    change: impl Fn(&mut dyn Tx, &mut Key, Timestamp) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<Key, Fault> {
    let key = find_changeable(cx, key_id, action).await?;
    let (arn, now) = (key.arn(), cx.service.now());
    let stored: Stored<Key> = cx
        .service
        .catalog
        .write(move |tx| {
            let mut stored = rows::get_by_arn(tx, &arn)?.ok_or_else(|| {
                Fault::new(Code::KmsNotFound, format!("Key '{arn}' does not exist"))
            })?;
            change(tx, &mut stored.value, now)?;
            rows::update(tx, stored).map_err(Fault::from)
        })
        .await?;
    Ok(stored.value)
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
                cut(key_id)
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

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(model::limits::ECHO_CHARS_MAX).collect()
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

/// Tags as KMS spells them.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KmsTag {
    tag_key: String,
    #[serde(default)]
    tag_value: String,
}

/// A tag in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShownTag {
    tag_key: String,
    tag_value: String,
}

impl ShownTag {
    pub(crate) fn of(tag: &model::Tag) -> Self {
        Self {
            tag_key: tag.key.clone(),
            tag_value: tag.value.clone(),
        }
    }
}

/// Whether the model lets an alias have these characters; KMS itself takes no colon.
fn is_of_model(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b":/_-".contains(&b))
}

/// Checks tags that a caller gave: lengths as the model has them, the rest as KMS has it, whose
/// only reserved prefix is `aws:`.
pub(crate) fn tags(given: &[KmsTag]) -> Result<Vec<model::Tag>, Fault> {
    let wrong = |message: &'static str| Err(Fault::new(Code::KmsTag, message));
    let mut seen = HashSet::new();
    for (number, KmsTag { tag_key, tag_value }) in (1..).zip(given) {
        let member = |name: &str| format!("tags.{number}.member.{name}");
        let at_most = |most: usize| format!("have length less than or equal to {most}");
        if tag_key.is_empty() {
            let rule = "have length greater than or equal to 1";
            return Err(bound(tag_key, &member("tagKey"), rule));
        }
        if TAG_KEY_CHARS_MAX < tag_key.chars().count() {
            let rule = at_most(TAG_KEY_CHARS_MAX);
            return Err(bound(tag_key, &member("tagKey"), &rule));
        }
        if TAG_VALUE_CHARS_MAX < tag_value.chars().count() {
            let rule = at_most(TAG_VALUE_CHARS_MAX);
            return Err(bound(tag_value, &member("tagValue"), &rule));
        }
        if tag_key.to_ascii_lowercase().starts_with("aws:") {
            return wrong("Tags beginning with aws: are reserved");
        }
        if !model::tag::is_legal(tag_key) || !model::tag::is_legal(tag_value) {
            return wrong("The tag has a character that tags cannot have");
        }
        if !seen.insert(tag_key) {
            return wrong("Duplicate tag keys");
        }
    }
    if model::limits::TAGS_MAX < given.len() {
        return wrong("Too many tags");
    }
    let tag = |tag: &KmsTag| model::Tag {
        key: tag.tag_key.clone(),
        value: tag.tag_value.clone(),
    };
    Ok(given.iter().map(tag).collect())
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
