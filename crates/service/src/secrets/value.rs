//! A secret's value: drawn, sealed and opened.
//!
//! It does not know who may ask for it.
use model::{
    Account, Arn, Cluster, MasterSecret, RotationRules, SecretStatus, SecretVersion, Stage,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    context::ServiceContext,
    fault::Fault,
    keys::{AwsService, KeyError, KeyUser, RdsUse, TargetKey, secret_context},
};

/// Characters of a password, all of which stand in a URL as they are: 193 bits.
const PASSWORD_CHARS: usize = 32;
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
/// Characters that a secret's ARN has behind its name.
const SUFFIX_CHARS: usize = 6;

/// What a secret's value is: JSON, as RDS writes it.
#[derive(Serialize)]
struct Value<'a> {
    username: &'a str,
    password: &'a str,
}

/// A password that was drawn, and the version that keeps it.
pub struct Drawn {
    /// As it is kept.
    pub version: SecretVersion,
    /// As the database is to have it.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Drawn {
    /// The password is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Drawn {}", self.version.id)
    }
}

fn characters(count: usize, alphabet: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(count));
    let whole = 256 - 256 % alphabet.len();
    while text.len() < count {
        for byte in kms::random_bytes(count).iter().copied().map(usize::from) {
            // What would make some characters likelier than others is drawn again.
            if byte < whole && text.len() < count {
                text.push(char::from(alphabet[byte % alphabet.len()]));
            }
        }
    }
    text
}

/// A new secret for a cluster's master user, without a version yet.
pub fn new_secret(context: &ServiceContext, key: &TargetKey, is_default_key: bool) -> MasterSecret {
    let now = context.now();
    let letters: Vec<u8> = ALPHABET
        .iter()
        .copied()
        .filter(u8::is_ascii_alphanumeric)
        .collect();
    let mut secret = MasterSecret {
        name: format!("rds!cluster-{}", context.entropy.uuid()),
        suffix: characters(SUFFIX_CHARS, &letters).to_string(),
        status: SecretStatus::Creating,
        kms_key: key.arn(),
        is_default_key,
        created_at: now,
        changed_at: now,
        rotated_at: None,
        rotates_at: now,
        rules: RotationRules::weekly(),
        versions: Vec::new(),
    };
    secret.schedule(now);
    secret
}

/// Draws a password for a cluster's master user, and seals it under the secret's key.
///
/// # Errors
/// When the key cannot be used.
pub async fn draw(
    context: &ServiceContext,
    cluster: &Cluster,
    secret: &MasterSecret,
    stage: Stage,
    id: Option<String>,
) -> Result<Drawn, Fault> {
    let (account, region) = (&cluster.account, &cluster.region);
    let id = id.unwrap_or_else(|| context.entropy.uuid().to_string());
    let arn = secret.arn(region, account);
    let user = RdsUse::via(AwsService::SecretsManager, &*context.keys, account, region);
    let key = TargetKey::recorded(secret.kms_key.clone());
    let (plain, wrapped) = user.generate(&key, secret_context(&arn, &id)).await?;
    let password = characters(PASSWORD_CHARS, ALPHABET);
    let value = Value {
        username: &cluster.master_username,
        password: &password,
    };
    let value = Zeroizing::new(serde_json::to_vec(&value).expect("texts serialize"));
    Ok(Drawn {
        version: SecretVersion {
            sealed: kms::seal_value(plain.bytes(), &bound_to(&arn, &id), &value),
            id,
            stage,
            created_at: context.now(),
            data_key: wrapped,
        },
        password,
    })
}

/// Opens a version of a cluster's secret, as an account.
///
/// # Errors
/// When the account may not use the secret's key, it cannot be used, or the value was altered.
pub async fn open(
    context: &ServiceContext,
    account: &Account,
    cluster: &Cluster,
    version: &SecretVersion,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let damaged = || KeyError::Ciphertext(version.data_key.key.clone());
    let arn = cluster.secret_arn().ok_or_else(damaged)?;
    let user = KeyUser::via(AwsService::SecretsManager, account, &cluster.region);
    let plain = context.keys.unwrap(&user, &version.data_key).await?;
    kms::open_value(plain.bytes(), &bound_to(&arn, &version.id), &version.sealed)
        .ok_or_else(damaged)
}

fn bound_to(secret: &Arn, version: &str) -> String {
    format!("{secret}#{version}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn passwords_are_of_all_characters_and_never_the_same() {
        let drawn: BTreeSet<String> = (0..200)
            .map(|_| characters(PASSWORD_CHARS, ALPHABET).to_string())
            .collect();
        assert_eq!(drawn.len(), 200);
        let met: BTreeSet<u8> = drawn.iter().flat_map(|text| text.bytes()).collect();
        assert_eq!(met.len(), ALPHABET.len());
        assert!(drawn.iter().all(|text| text.len() == PASSWORD_CHARS));
    }
}
