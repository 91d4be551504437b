//! Keys that an outside KMS holds: any endpoint that speaks the AWS KMS protocol.
//!
//! It does not know how a call is signed or sent: see [`OutsideKms`]. Data keys come from the
//! outside KMS, are bound to their encryption context there, and are kept here only as it
//! wrapped them.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{Account, Arn, ArnKind, Region, WrappedKey, key::EncryptionContext};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use vault::DataKey;
use wire::json::Blob;
use zeroize::Zeroizing;

use super::{AwsService, KeyError, KeyService, KeyUser, data_key};

/// What one try at a call came to.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The KMS said no. Asking again would not change it.
    #[error("{code}: {message}")]
    Refused {
        /// Its error code, such as `DisabledException`.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// No answer, or one that asks for another try.
    #[error("{0}")]
    Unavailable(String),
    /// The deployment does not let this account use the KMS.
    #[error("no credentials")]
    NoCredentials,
}

/// Signs and sends one call.
#[async_trait]
pub trait OutsideKms: Send + Sync + std::fmt::Debug {
    /// Sends an operation's JSON as an account, to the KMS of a region; answers its JSON.
    ///
    /// # Errors
    /// [`CallError`], of this one try.
    async fn call(
        &self,
        account: &Account,
        region: &Region,
        operation: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, CallError>;
}

/// How often a call that got no answer is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPlan {
    /// Tries in all.
    pub tries: u32,
    /// The pause after the first; each later one is three times as long.
    pub pause: Duration,
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self {
            tries: 4,
            pause: Duration::from_millis(100),
        }
    }
}

/// The outside KMS as a key service.
#[derive(Debug, Clone)]
pub struct Outside {
    /// Where it is, for people.
    pub endpoint: String,
    /// Sends the calls.
    pub kms: Arc<dyn OutsideKms>,
    /// The region whose keys serve all regions; none: each region has its own.
    pub region: Option<Region>,
    /// What stands for `alias/aws/rds` and its like, which nobody but the services can use.
    pub default_key: Option<String>,
    /// Tries and pauses.
    pub retry: RetryPlan,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyIdOnly<'a> {
    key_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key_metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    arn: String,
    key_state: Option<String>,
    enabled: Option<bool>,
    key_usage: Option<String>,
    key_spec: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Generate<'a> {
    key_id: String,
    key_spec: &'static str,
    encryption_context: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypt<'a> {
    key_id: String,
    plaintext: Blob,
    encryption_context: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt<'a> {
    key_id: String,
    ciphertext_blob: Blob,
    encryption_context: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wrapped {
    ciphertext_blob: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Opened {
    plaintext: Blob,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Generated {
    plaintext: Blob,
    ciphertext_blob: Blob,
}

impl Outside {
    fn region_of(&self, key: &Arn) -> Region {
        self.region.clone().unwrap_or_else(|| key.region.clone())
    }

    /// Calls, again after a pause where there was no answer, and reads the answer.
    async fn ask<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        account: &Account,
        region: &Region,
        operation: &'static str,
        question: &Q,
    ) -> Result<A, KeyError> {
        let body = Zeroizing::new(serde_json::to_vec(question).expect("questions serialize"));
        let mut pause = self.retry.pause;
        let mut tried = 1;
        loop {
            let called = self.kms.call(account, region, operation, body.clone());
            let why = match called.await {
                Ok(answer) => {
                    return serde_json::from_slice(&answer).map_err(|_| KeyError::Unavailable {
                        operation,
                        why: "its answer is not a KMS's".to_owned(),
                    });
                }
                Err(CallError::NoCredentials) => {
                    return Err(KeyError::NoCredentials(account.clone()));
                }
                Err(CallError::Refused { code, message }) if code == "NotFoundException" => {
                    return Err(KeyError::NotFound(model::limits::echo(&message)));
                }
                Err(CallError::Refused { code, message }) => {
                    return Err(KeyError::Refused {
                        operation,
                        code: model::limits::echo(&code),
                        message: model::limits::echo(&message),
                    });
                }
                Err(CallError::Unavailable(why)) => why,
            };
            if self.retry.tries <= tried {
                return Err(KeyError::Unavailable { operation, why });
            }
            tried += 1;
            tokio::time::sleep(pause).await;
            pause *= 3;
        }
    }

    async fn describe(
        &self,
        user: &KeyUser,
        region: &Region,
        given: &str,
    ) -> Result<(Arn, Metadata), KeyError> {
        let question = KeyIdOnly { key_id: given };
        let answer: Described = self
            .ask(&user.account, region, "DescribeKey", &question)
            .await?;
        let arn = Arn::parse(&answer.key_metadata.arn)
            .ok()
            .filter(|arn| arn.kind() == Some(ArnKind::Key));
        let arn = arn.ok_or_else(|| KeyError::Unavailable {
            operation: "DescribeKey",
            why: "it answered what is no key's ARN".to_owned(),
        })?;
        Ok((arn, answer.key_metadata))
    }
}

impl Metadata {
    /// Whether data keys can be made under it.
    fn usable(&self, arn: &Arn) -> Result<(), KeyError> {
        let is = |member: &Option<String>, wanted| member.as_ref().is_none_or(|is| is == wanted);
        if !is(&self.key_usage, "ENCRYPT_DECRYPT") || !is(&self.key_spec, "SYMMETRIC_DEFAULT") {
            return Err(KeyError::NotFound(format!(
                "{arn} is no symmetric encryption key."
            )));
        }
        match self.key_state.as_deref() {
            Some("PendingDeletion") => Err(KeyError::PendingDeletion(arn.clone())),
            Some("Enabled") => Ok(()),
            None if self.enabled != Some(false) => Ok(()),
            _ => Err(KeyError::Disabled(arn.clone())),
        }
    }
}

#[async_trait]
impl KeyService for Outside {
    async fn target(&self, user: &KeyUser, given: &str, region: &Region) -> Result<Arn, KeyError> {
        let default = AwsService::of_default_key(given, &user.account, region);
        let given = match (default, &self.default_key) {
            (Some(_), Some(default)) => default,
            (Some(_), None) => return Err(KeyError::NoDefaultKey),
            (None, _) => given,
        };
        let asked = self.region.as_ref().unwrap_or(region);
        let (arn, metadata) = self.describe(user, asked, given).await?;
        if arn.region != *asked {
            return Err(KeyError::NotFound(model::limits::echo(given)));
        }
        metadata.usable(&arn)?;
        Ok(arn)
    }

    async fn default_key(
        &self,
        service: AwsService,
        account: &Account,
        region: &Region,
    ) -> Result<Arn, KeyError> {
        let user = KeyUser::via(service, account, region);
        self.target(&user, service.alias(), region).await
    }

    async fn generate(
        &self,
        user: &KeyUser,
        key: &Arn,
        context: EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), KeyError> {
        let question = Generate {
            key_id: key.to_string(),
            key_spec: "AES_256",
            encryption_context: &context,
        };
        let region = self.region_of(key);
        let answer: Generated = self
            .ask(&user.account, &region, "GenerateDataKey", &question)
            .await?;
        let plain = data_key(&answer.plaintext.0, key)?;
        let wrapped = WrappedKey {
            key: key.clone(),
            blob: answer.ciphertext_blob.0.clone(),
            context,
        };
        Ok((plain, wrapped))
    }

    async fn wrap(
        &self,
        user: &KeyUser,
        key: &Arn,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError> {
        let question = Encrypt {
            key_id: key.to_string(),
            plaintext: Blob(plain.bytes().to_vec()),
            encryption_context: &context,
        };
        let region = self.region_of(key);
        let answer: Wrapped = self
            .ask(&user.account, &region, "Encrypt", &question)
            .await?;
        Ok(WrappedKey {
            key: key.clone(),
            blob: answer.ciphertext_blob.0.clone(),
            context,
        })
    }

    async fn unwrap(&self, user: &KeyUser, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let question = Decrypt {
            key_id: wrapped.key.to_string(),
            ciphertext_blob: Blob(wrapped.blob.clone()),
            encryption_context: &wrapped.context,
        };
        let region = self.region_of(&wrapped.key);
        let answer: Opened = self
            .ask(&user.account, &region, "Decrypt", &question)
            .await?;
        data_key(&answer.plaintext.0, &wrapped.key)
    }

    async fn unwrap_source(
        &self,
        user: &KeyUser,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, KeyError> {
        let asked = self.region_of(&wrapped.key);
        self.describe(user, &asked, &wrapped.key.to_string())
            .await?;
        self.unwrap(user, wrapped).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers from a list, and remembers what was asked.
    #[derive(Debug, Default)]
    struct Scripted {
        answers: Mutex<Vec<Result<&'static str, CallError>>>,
        asked: Mutex<Vec<(String, &'static str)>>,
    }

    #[async_trait]
    impl OutsideKms for Scripted {
        async fn call(
            &self,
            _: &Account,
            region: &Region,
            operation: &'static str,
            _: Zeroizing<Vec<u8>>,
        ) -> Result<Zeroizing<Vec<u8>>, CallError> {
            let asked = (region.to_string(), operation);
            self.asked.lock().expect("unbroken").push(asked);
            let next = self.answers.lock().expect("unbroken").pop();
            next.expect("an answer")
                .map(|text| Zeroizing::new(text.as_bytes().to_vec()))
        }
    }

    fn outside(answers: Vec<Result<&'static str, CallError>>) -> (Outside, Arc<Scripted>) {
        let kms = Arc::new(Scripted {
            answers: Mutex::new(answers.into_iter().rev().collect()),
            asked: Mutex::default(),
        });
        let outside = Outside {
            endpoint: "http://kms".to_owned(),
            kms: kms.clone(),
            region: None,
            default_key: None,
            retry: RetryPlan {
                tries: 3,
                pause: Duration::ZERO,
            },
        };
        (outside, kms)
    }

    const GOOD: &str = r#"{"KeyMetadata": {"Arn": "arn:aws:kms:us-east-1:123456789012:key/a", "KeyState": "Enabled"}}"#;
    const OFF: &str = r#"{"KeyMetadata": {"Arn": "arn:aws:kms:us-east-1:123456789012:key/a", "KeyState": "Disabled"}}"#;

    fn user() -> KeyUser {
        KeyUser::direct(&"123456789012".parse().expect("legal"))
    }

    async fn target(outside: &Outside, given: &str) -> Result<Arn, KeyError> {
        let region: Region = "us-east-1".parse().expect("legal");
        outside.target(&user(), given, &region).await
    }

    #[tokio::test]
    async fn silence_is_asked_again_and_a_no_is_not() {
        let down = || Err(CallError::Unavailable("nobody there".to_owned()));
        let (kms, seen) = outside(vec![down(), down(), Ok(GOOD)]);
        assert!(target(&kms, "a").await.is_ok());
        assert_eq!(seen.asked.lock().expect("unbroken").len(), 3);
        let (kms, _) = outside(vec![down(), down(), down()]);
        let given_up = target(&kms, "a").await;
        assert!(matches!(given_up, Err(KeyError::Unavailable { .. })));
        let no = Err(CallError::Refused {
            code: "AccessDeniedException".to_owned(),
            message: "no".to_owned(),
        });
        let (kms, seen) = outside(vec![no]);
        let refused = target(&kms, "a").await;
        assert!(matches!(refused, Err(KeyError::Refused { .. })));
        assert_eq!(seen.asked.lock().expect("unbroken").len(), 1);
    }

    #[tokio::test]
    async fn a_key_must_be_in_use_and_of_the_region() {
        let (kms, _) = outside(vec![Ok(OFF)]);
        let off = target(&kms, "a").await;
        assert!(matches!(off, Err(KeyError::Disabled(_))));
        let (kms, _) = outside(vec![Ok(GOOD)]);
        let far: Region = "eu-west-1".parse().expect("legal");
        let elsewhere = kms.target(&user(), "a", &far).await;
        assert!(matches!(elsewhere, Err(KeyError::NotFound(_))));
        // One region's keys may serve all.
        let (mut kms, seen) = outside(vec![Ok(GOOD)]);
        kms.region = Some("us-east-1".parse().expect("legal"));
        assert!(kms.target(&user(), "a", &far).await.is_ok());
        assert_eq!(seen.asked.lock().expect("unbroken")[0].0, "us-east-1");
    }

    #[tokio::test]
    async fn the_default_key_is_the_configured_one() {
        let (kms, seen) = outside(vec![]);
        let none = target(&kms, AwsService::Rds.alias()).await;
        assert!(matches!(none, Err(KeyError::NoDefaultKey)));
        assert!(seen.asked.lock().expect("unbroken").is_empty());
        let (mut kms, _) = outside(vec![Ok(GOOD)]);
        kms.default_key = Some("alias/ours".to_owned());
        assert!(target(&kms, AwsService::Rds.alias()).await.is_ok());
    }

    #[tokio::test]
    async fn a_data_key_has_32_bytes() {
        let arn = Arn::parse("arn:aws:kms:us-east-1:123456789012:key/a").expect("legal");
        let short = r#"{"Plaintext": "AAAA", "CiphertextBlob": "AAAA"}"#;
        let (kms, _) = outside(vec![Ok(short), Ok("<html>")]);
        let made = kms.generate(&user(), &arn, EncryptionContext::new()).await;
        assert!(matches!(made, Err(KeyError::NotADataKey(_))));
        let made = kms.generate(&user(), &arn, EncryptionContext::new()).await;
        assert!(matches!(made, Err(KeyError::Unavailable { .. })));
    }
}
