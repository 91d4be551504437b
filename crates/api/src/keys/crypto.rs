//! What the actions with secrets share: contexts, grant tokens, lengths, trial runs.
//!
//! Source: Encrypt, Decrypt, ReEncrypt and GenerateDataKey in the AWS KMS API reference.
use catalog::{CatalogExt, grants};
use data_encoding::BASE64URL_NOPAD;
use model::{
    Arn, Key,
    key::EncryptionContext,
    key_spec::{EncryptionAlgorithm, KeyUsage},
    limits,
};
use serde::Deserialize;
use wire::json::Blob;

use super::{checks, lookup};
use crate::action::ActionContext;
use service::{
    fault::{Code, Fault},
    keys::kms_fault,
    keys::{KeyError, KeyUser, Keys},
};

/// A data key's bytes at most (`NumberOfBytes`).
pub(crate) const RANDOM_BYTES_MAX: i64 = 1_024;
/// A ciphertext blob's bytes at most.
const CIPHERTEXT_BYTES_MAX: usize = 6_144;
/// Grant tokens of one request at most.
const TOKENS_MAX: usize = 10;

/// `DryRun`, `GrantTokens` and an algorithm: what several actions take beside their own.
#[derive(Debug, Default)]
pub(crate) struct Extras<'a> {
    pub(crate) tokens: &'a [String],
    pub(crate) contexts: [Option<&'a EncryptionContext>; 2],
    pub(crate) recipient: bool,
}

impl Extras<'_> {
    /// Refuses what cannot be.
    pub(crate) async fn check(&self, cx: &ActionContext) -> Result<(), Fault> {
        if self.recipient {
            return Err(Fault::new(
                Code::KmsUnsupported,
                "Recipient is not supported here: there are no Nitro enclaves.",
            ));
        }
        for context in self.contexts.iter().flatten() {
            within_limit(context)?;
        }
        check_tokens(cx, self.tokens).await
    }
}

/// Refuses an encryption context that is too large.
fn within_limit(context: &EncryptionContext) -> Result<(), Fault> {
    let bytes: usize = context
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if limits::ENCRYPTION_CONTEXT_BYTES_MAX < bytes {
        return Err(Fault::new(
            Code::KmsValidation,
            format!(
                "The encryption context has {bytes} bytes: at most {} are possible.",
                limits::ENCRYPTION_CONTEXT_BYTES_MAX
            ),
        ));
    }
    Ok(())
}

/// The algorithm that a caller names, by default that of symmetric keys.
pub(crate) fn algorithm(given: Option<&str>) -> Result<EncryptionAlgorithm, Fault> {
    let Some(given) = given else {
        return Ok(EncryptionAlgorithm::SymmetricDefault);
    };
    EncryptionAlgorithm::parse(given).ok_or_else(|| {
        Fault::new(
            Code::KmsInvalidKeyUsage,
            format!(
                "Algorithm {} is none of a key's here.",
                model::limits::echo(given)
            ),
        )
    })
}

/// Refuses a key that is not for encryption by this algorithm, and a context that it cannot have.
pub(crate) fn fits(
    key: &Key,
    algorithm: EncryptionAlgorithm,
    operation: &str,
    context: &EncryptionContext,
) -> Result<(), Fault> {
    checks::used_for(key, KeyUsage::EncryptDecrypt, operation)?;
    if !key.spec.encryption_algorithms().contains(&algorithm) {
        return Err(checks::incompatible(key, algorithm.as_str()));
    }
    if !key.is_symmetric() && !context.is_empty() {
        return Err(Fault::new(
            Code::KmsValidation,
            "An encryption context is possible with symmetric encryption keys only.",
        ));
    }
    Ok(())
}

/// Encrypts under a key that was found fit.
pub(crate) async fn seal(
    cx: &ActionContext,
    key: &Key,
    algorithm: EncryptionAlgorithm,
    plain: &[u8],
    context: &EncryptionContext,
) -> Result<Vec<u8>, Fault> {
    let kms = &cx.service.kms;
    if key.is_symmetric() {
        return kms.seal(key, plain, context).map_err(kms_fault);
    }
    let caller = &cx.caller.account;
    let made = kms.encrypt_by_pair(caller, key, algorithm, plain.to_vec());
    made.await.map_err(|error| match error {
        KeyError::Pair(_, ::kms::PairError::Length(most)) => Fault::new(
            Code::KmsValidation,
            format!(
                "Algorithm {} and key spec {} cannot encrypt data larger than {most} bytes.",
                algorithm.as_str(),
                key.spec.as_str()
            ),
        ),
        other => kms_fault(other),
    })
}

/// What a caller wants opened.
#[derive(Debug)]
pub(crate) struct Sealed<'a> {
    pub(crate) blob: &'a Blob,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) algorithm: EncryptionAlgorithm,
    pub(crate) context: &'a EncryptionContext,
}

impl Sealed<'_> {
    /// The key that opens it, allowed to the caller for this use. A blob of a pair does not name
    /// its key.
    pub(crate) async fn key(
        &self,
        cx: &ActionContext,
        action: &'static str,
        operation: &str,
    ) -> Result<Key, Fault> {
        if self.algorithm == EncryptionAlgorithm::SymmetricDefault {
            return key_of(cx, self.blob, self.key_id, action, self.context).await;
        }
        let key_id = self.key_id.ok_or_else(|| {
            Fault::new(
                Code::KmsValidation,
                "The key must be named: a ciphertext of an asymmetric key does not say its own.",
            )
        })?;
        let key = usable(cx, key_id, action, self.context).await?;
        fits(&key, self.algorithm, operation, self.context)?;
        Ok(key)
    }

    /// What is in it.
    pub(crate) async fn open(
        &self,
        cx: &ActionContext,
        key: &Key,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
        let (kms, caller) = (&cx.service.kms, &cx.caller.account);
        if key.is_symmetric() {
            return kms.open(key, &self.blob.0, self.context).map_err(kms_fault);
        }
        let blob = self.blob.0.clone();
        kms.decrypt_by_pair(caller, key, self.algorithm, blob)
            .await
            .map_err(kms_fault)
    }
}

/// `DryRun`: everything was checked, and nothing is done.
pub(crate) fn unless_dry(dry_run: Option<bool>) -> Result<(), Fault> {
    if dry_run == Some(true) {
        return Err(Fault::new(
            Code::KmsDryRun,
            "The request would have succeeded, but the DryRun option is set.",
        ));
    }
    Ok(())
}

/// The key that a caller names, allowed to it for this use and ready for it.
pub(crate) async fn usable(
    cx: &ActionContext,
    key_id: &str,
    action: &'static str,
    context: &EncryptionContext,
) -> Result<Key, Fault> {
    let key = lookup::find_with(cx, key_id, action, context).await?;
    Keys::usable(&key).map_err(kms_fault)?;
    Ok(key)
}

/// The key that a blob names, allowed to the caller for this use; `expected` is the key that the
/// caller says it is under.
async fn key_of(
    cx: &ActionContext,
    blob: &Blob,
    expected: Option<&str>,
    action: &'static str,
    context: &EncryptionContext,
) -> Result<Key, Fault> {
    if CIPHERTEXT_BYTES_MAX < blob.0.len() {
        return Err(Fault::new(
            Code::KmsValidation,
            format!("A ciphertext blob has at most {CIPHERTEXT_BYTES_MAX} bytes."),
        ));
    }
    let (arn, _) = ::kms::key_of(&blob.0).map_err(|_| service::keys::invalid_ciphertext())?;
    let arn = model::key::counterpart(&arn, &cx.region);
    // Of the named key first: who names a key that it may not use learns no more than that.
    let expected = match expected {
        Some(key_id) => Some(lookup::find_with(cx, key_id, action, context).await?),
        None => None,
    };
    if let Some(expected) = expected {
        if expected.arn() != arn {
            return Err(Fault::new(
                Code::KmsIncorrectKey,
                "The key ID in the request does not identify a CMK that can perform this operation.",
            ));
        }
        Keys::usable(&expected).map_err(kms_fault)?;
        return Ok(expected);
    }
    let user = KeyUser::direct(&cx.caller.account);
    let found = cx
        .service
        .kms
        .find_for(&user, &arn.to_string(), &cx.region, action, context)
        .await;
    let key = match found {
        Ok(key) if key.region == cx.region => key,
        Ok(_) | Err(KeyError::NotFound(_) | KeyError::Malformed(_) | KeyError::Denied { .. }) => {
            return Err(Fault::new(
                Code::KmsAccessDenied,
                "The ciphertext refers to a customer master key that does not exist, does not exist in \
                 this region, or you are not allowed to access.",
            ));
        }
        Err(other) => return Err(kms_fault(other)),
    };
    Keys::usable(&key).map_err(kms_fault)?;
    Ok(key)
}

/// The id of the material that a blob of this key is wrapped with; a pair's has none.
pub(crate) fn material_id(key: &Key, blob: &[u8]) -> Option<String> {
    let number = ::kms::key_of(blob).map_or(0, |(_, number)| number);
    key.is_symmetric().then(|| ::kms::material_id(key, number))
}

/// A grant token: names the key and the grant, so that it is found again.
pub(crate) fn token(key: &Arn, grant_id: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{key} {grant_id}").as_bytes())
}

/// What a token names. Nobody is allowed anything by that alone.
pub(crate) fn read_token(token: &str) -> Option<(Arn, String)> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (arn, id) = text.split_once(' ')?;
    Some((Arn::parse(arn).ok()?, id.to_owned()))
}

/// Refuses tokens of no grant. Grants count at once here, so a token adds nothing else.
async fn check_tokens(cx: &ActionContext, tokens: &[String]) -> Result<(), Fault> {
    if TOKENS_MAX < tokens.len() {
        return Err(Fault::new(
            Code::KmsValidation,
            format!("A request has at most {TOKENS_MAX} grant tokens."),
        ));
    }
    for token in tokens {
        let named = read_token(token).ok_or_else(no_such_token)?;
        let found = cx
            .service
            .catalog
            .read(move |tx| grants::get(tx, &named.0, &named.1))
            .await
            .map_err(|error: catalog::CatalogError| Fault::from(error))?;
        if found.is_none_or(|stored| stored.value.token != *token) {
            return Err(no_such_token());
        }
    }
    Ok(())
}

/// `InvalidGrantTokenException`.
pub(crate) fn no_such_token() -> Fault {
    Fault::new(
        Code::KmsInvalidGrantToken,
        "The grant token is not that of a grant.",
    )
}

/// What GenerateDataKey and GenerateDataKeyWithoutPlaintext take.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DataKeyInput {
    key_id: String,
    encryption_context: Option<EncryptionContext>,
    number_of_bytes: Option<i64>,
    key_spec: Option<String>,
    #[serde(default)]
    grant_tokens: Vec<String>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    recipient: Option<serde::de::IgnoredAny>,
    dry_run: Option<bool>,
}

/// A data key, plain and wrapped.
pub(crate) struct Made {
    pub(crate) key: Key,
    pub(crate) plain: zeroize::Zeroizing<Vec<u8>>,
    pub(crate) blob: Vec<u8>,
}

impl DataKeyInput {
    /// Draws a data key and wraps it.
    pub(crate) async fn make(
        self,
        cx: &ActionContext,
        action: &'static str,
    ) -> Result<Made, Fault> {
        let bytes = self.bytes()?;
        let context = self.encryption_context.unwrap_or_default();
        Extras {
            tokens: &self.grant_tokens,
            contexts: [Some(&context), None],
            recipient: self.recipient.is_some(),
        }
        .check(cx)
        .await?;
        let key = usable(cx, &self.key_id, action, &context).await?;
        Keys::symmetric(&key).map_err(kms_fault)?;
        unless_dry(self.dry_run)?;
        let plain = ::kms::random_bytes(bytes);
        let blob = cx
            .service
            .kms
            .seal(&key, &plain, &context)
            .map_err(kms_fault)?;
        Ok(Made { key, plain, blob })
    }

    fn bytes(&self) -> Result<usize, Fault> {
        let wrong = |message: &'static str| Fault::new(Code::KmsValidation, message);
        match (self.number_of_bytes, self.key_spec.as_deref()) {
            (None, Some("AES_256")) => Ok(32),
            (None, Some("AES_128")) => Ok(16),
            (None, Some(_)) => Err(wrong("KeySpec is neither AES_256 nor AES_128.")),
            (Some(count), None) => random_count(count),
            _ => Err(wrong("Please specify either number of bytes or key spec.")),
        }
    }
}

/// `NumberOfBytes`.
pub(crate) fn random_count(count: i64) -> Result<usize, Fault> {
    usize::try_from(count)
        .ok()
        .filter(|_| (1..=RANDOM_BYTES_MAX).contains(&count))
        .ok_or_else(|| {
            Fault::new(
                Code::KmsValidation,
                format!("NumberOfBytes is {count}: it must be between 1 and {RANDOM_BYTES_MAX}."),
            )
        })
}
