//! What Sign and Verify share: the key, the algorithm and the message, checked.
//!
//! Source: Sign and Verify in the AWS KMS API reference.
use model::{
    Key,
    key::EncryptionContext,
    key_spec::{KeyUsage, SigningAlgorithm},
};
use wire::json::Blob;

use super::{
    checks,
    crypto::{self, Extras, unless_dry},
};
use crate::action::ActionContext;
use service::{
    fault::{Code, Fault},
    keys::{KeyError, Signable, kms_fault},
};

/// A message's bytes at most; of longer ones the digest is signed.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4_096;
/// A signature's or a code's bytes at most.
const PROOF_BYTES_MAX: usize = 6_144;

/// What both take.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) message: Blob,
    pub(crate) message_type: Option<&'a str>,
    pub(crate) algorithm: &'a str,
    pub(crate) tokens: &'a [String],
    pub(crate) dry_run: Option<bool>,
}

impl Asked<'_> {
    /// The key, ready for it, with what is to be signed and how.
    pub(crate) async fn check(
        self,
        cx: &ActionContext,
        action: &'static str,
        operation: &str,
    ) -> Result<(Key, SigningAlgorithm, Signable), Fault> {
        let is_digest = match self.message_type {
            None | Some("RAW") => false,
            Some("DIGEST") => true,
            Some(other) => {
                let rule = "satisfy enum value set: [RAW, DIGEST]";
                return Err(checks::bound(other, "messageType", rule));
            }
        };
        message_length(&self.message)?;
        Extras {
            tokens: self.tokens,
            ..Extras::default()
        }
        .check(cx)
        .await?;
        let none = EncryptionContext::new();
        let key = crypto::usable(cx, self.key_id, action, &none).await?;
        checks::used_for(&key, KeyUsage::SignVerify, operation)?;
        let algorithm = SigningAlgorithm::parse(self.algorithm)
            .filter(|algorithm| key.spec.signing_algorithms().contains(algorithm))
            .ok_or_else(|| checks::incompatible(&key, &model::limits::echo(self.algorithm)))?;
        if is_digest && algorithm == SigningAlgorithm::Ed25519Sha512 {
            return Err(Fault::new(
                Code::KmsValidation,
                "ED25519_SHA_512 requires MessageType RAW",
            ));
        }
        unless_dry(self.dry_run)?;
        let given = Signable {
            bytes: self.message.0.clone(),
            is_digest,
        };
        Ok((key, algorithm, given))
    }
}

/// What went wrong with a signature, in KMS's words.
pub(crate) fn fault(error: KeyError, algorithm: SigningAlgorithm) -> Fault {
    match error {
        KeyError::Pair(_, kms::PairError::DigestLength(..)) => Fault::new(
            Code::KmsValidation,
            format!(
                "Digest is invalid length for algorithm {}.",
                algorithm.as_str()
            ),
        ),
        other => kms_fault(other),
    }
}

/// Refuses a message that is empty or too long.
pub(crate) fn message_length(message: &Blob) -> Result<(), Fault> {
    length(message, "message", MESSAGE_BYTES_MAX)
}

/// Refuses a signature or a code that is empty or too long.
pub(crate) fn proof_length(proof: &Blob, member: &str) -> Result<(), Fault> {
    length(proof, member, PROOF_BYTES_MAX)
}

fn length(blob: &Blob, member: &str, most: usize) -> Result<(), Fault> {
    let rule = match blob.0.len() {
        0 => "greater than or equal to 1".to_owned(),
        length if most < length => format!("less than or equal to {most}"),
        _ => return Ok(()),
    };
    Err(Fault::new(
        Code::KmsValidation,
        format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: \
             Member must have length {rule}"
        ),
    ))
}
