//! What KMS answers when a key cannot be used. RDS has other words: `RdsUse`.
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

/// `InvalidCiphertextException`: KMS says no word beside the code.
pub fn invalid_ciphertext() -> Fault {
    Fault::new(Code::KmsInvalidCiphertext, "")
}
