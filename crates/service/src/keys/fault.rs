//! What KMS and Secrets Manager answer when a key cannot be used. RDS has other words: `RdsUse`.
use super::KeyError;
use crate::fault::{Code, Fault};

/// The fault of a KMS action. Never for an action of RDS, whose answer must not tell whether a key
/// exists.
pub fn kms_fault(error: KeyError) -> Fault {
    let code = match &error {
        KeyError::NotFound(_) => Code::KmsNotFound,
        KeyError::Malformed(text) => {
            return Fault::new(Code::KmsNotFound, format!("Invalid keyId '{text}'"));
        }
        KeyError::Disabled(_) => Code::KmsDisabled,
        KeyError::PendingDeletion(_) => Code::KmsInvalidState,
        KeyError::Denied { .. } => Code::KmsAccessDenied,
        KeyError::Ciphertext(_) => return invalid_ciphertext(),
        KeyError::Wrap(_) => Code::KmsValidation,
        KeyError::NotSymmetric(_) => Code::KmsInvalidKeyUsage,
        KeyError::Pair(_, kms::PairError::Refused) => return invalid_ciphertext(),
        _ => return Fault::internal(&error),
    };
    Fault::new(code, error.to_string())
}

/// The fault of an action of Secrets Manager, of a secret that the caller may see.
pub fn secret_fault(error: KeyError) -> Fault {
    match error {
        KeyError::Denied { .. } | KeyError::NotFound(_) | KeyError::NoCredentials(_) => {
            Fault::new(Code::KmsAccessDenied, "Access to KMS is not allowed")
        }
        KeyError::Disabled(_)
        | KeyError::PendingDeletion(_)
        | KeyError::Ciphertext(_)
        | KeyError::NotADataKey(_)
        | KeyError::Refused { .. } => Fault::new(
            Code::SecretDecryptionFailure,
            "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
        ),
        KeyError::Unavailable { .. } => Fault::new(
            Code::ServiceUnavailable,
            "The key management service does not answer. Try again.",
        ),
        _ => Fault::internal(&error),
    }
}

/// `InvalidCiphertextException`: KMS says no word beside the code.
pub fn invalid_ciphertext() -> Fault {
    Fault::new(Code::KmsInvalidCiphertext, "")
}
