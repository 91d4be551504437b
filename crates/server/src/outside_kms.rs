//! An outside KMS over the AWS KMS protocol: its settings, and signed calls.
//!
//! It does not know what the calls mean; `service::Outside` does.
use std::{collections::HashMap, fmt, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, header};
use model::{Account, Clock, Region, SystemClock};
use serde::Deserialize;
use service::{CallError, Outside, OutsideKms, RetryPlan};
use wire::{RawRequest, sigv4::Signer};
use zeroize::Zeroizing;

use crate::{
    forms::Secret,
    outbound::{Address, Poster, Wanted},
    settings::SettingsError,
};

/// Stands for a region's name in the endpoint.
const REGION: &str = "{region}";
/// Says that a credential serves every account.
const ALL: &str = "all";
/// An answer's bytes at most: two blobs of 6 KiB as base64, and their names.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Errors that another try may cure, beside those with a status of 500 and more.
const RETRYABLE: [&str; 6] = [
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "RequestTimeout",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// The settings of an outside KMS: flags and variables, or the table `[kms]` of the file.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct KmsLayer {
    /// Endpoint of an outside KMS that holds the keys in place of the built-in one
    ///
    /// Anything that speaks the AWS KMS protocol; https, or http on loopback. `{region}` in it stands
    /// for the region that is asked, as in https://kms.{region}.amazonaws.com. In the file these
    /// settings are the table [kms], without the prefix: endpoint, region, and so on. Choose it before
    /// the first encrypted cluster: keys of the built-in KMS are not asked beside it.
    #[arg(
        id = "kms-endpoint",
        long = "kms-endpoint",
        env = "SNAPFERRY_KMS_ENDPOINT",
        value_name = "URL"
    )]
    pub(crate) endpoint: Option<String>,
    /// The one region whose keys the outside KMS has for all regions [default: each region its own]
    #[arg(
        id = "kms-region",
        long = "kms-region",
        env = "SNAPFERRY_KMS_REGION",
        value_name = "NAME"
    )]
    pub(crate) region: Option<Region>,
    /// The outside KMS's key that stands for alias/aws/rds, such as alias/snapferry [default: none]
    #[arg(
        id = "kms-default-key",
        long = "kms-default-key",
        env = "SNAPFERRY_KMS_DEFAULT_KEY",
        value_name = "KEY"
    )]
    pub(crate) default_key: Option<String>,
    /// Access key for the outside KMS; the file can have several, as [[kms.credentials]]
    #[arg(
        id = "kms-access-key-id",
        long = "kms-access-key-id",
        env = "SNAPFERRY_KMS_ACCESS_KEY_ID",
        value_name = "ID"
    )]
    pub(crate) access_key_id: Option<String>,
    /// Its secret
    ///
    /// Rather set the variable: other users of the machine can see a command line.
    #[arg(
        id = "kms-secret-access-key",
        long = "kms-secret-access-key",
        env = "SNAPFERRY_KMS_SECRET_ACCESS_KEY",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub(crate) secret_access_key: Option<Secret>,
    /// The account that uses that access key, or `all` [default: 000000000000]
    ///
    /// With `all` every account here can use every key that the access key can: the outside KMS cannot
    /// tell them apart. Only for accounts that trust each other.
    #[arg(
        id = "kms-account",
        long = "kms-account",
        env = "SNAPFERRY_KMS_ACCOUNT",
        value_name = "ID"
    )]
    pub(crate) account: Option<String>,
    /// Credentials of the settings file
    #[arg(skip)]
    pub(crate) credentials: Vec<CredentialRow>,
}

/// A credential of the settings file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CredentialRow {
    /// Who uses it: an account, or `all`.
    pub(crate) account: String,
    /// The access key.
    pub(crate) access_key_id: String,
    /// Its secret.
    pub(crate) secret_access_key: Secret,
}

impl KmsLayer {
    /// This layer, and `below` where it says nothing.
    pub(crate) fn over(self, below: Self) -> Self {
        Self {
            endpoint: self.endpoint.or(below.endpoint),
            region: self.region.or(below.region),
            default_key: self.default_key.or(below.default_key),
            access_key_id: self.access_key_id.or(below.access_key_id),
            secret_access_key: self.secret_access_key.or(below.secret_access_key),
            account: self.account.or(below.account),
            credentials: if self.credentials.is_empty() {
                below.credentials
            } else {
                self.credentials
            },
        }
    }

    /// Every credential: the file's, and the one of the command line or the environment.
    fn rows(&self) -> Vec<CredentialRow> {
        let one = self
            .access_key_id
            .clone()
            .zip(self.secret_access_key.clone());
        let account = self.account.clone();
        let one = one.map(|(access_key_id, secret_access_key)| CredentialRow {
            account: account.unwrap_or_else(|| "000000000000".to_owned()),
            access_key_id,
            secret_access_key,
        });
        self.credentials.iter().cloned().chain(one).collect()
    }

    /// Refuses values that cannot be, alone or together.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |setting, expected| Err(SettingsError::Value { setting, expected });
        let rows = self.rows();
        let Some(endpoint) = &self.endpoint else {
            let silent = self.region.is_none()
                && self.default_key.is_none()
                && self.access_key_id.is_none()
                && self.secret_access_key.is_none()
                && rows.is_empty();
            return if silent {
                Ok(())
            } else {
                wrong(
                    "kms-endpoint",
                    "given with the other settings of an outside KMS",
                )
            };
        };
        let address = Address::parse(&endpoint.replace(REGION, "us-east-1"));
        if !address.is_some_and(|address| address.tls || is_loopback(&address.host)) {
            return wrong(
                "kms-endpoint",
                "an https:// URL, or an http:// URL of a loopback address",
            );
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return wrong(
                "kms-access-key-id",
                "given together with kms-secret-access-key",
            );
        }
        if rows.is_empty() {
            return wrong("kms-access-key-id", "given with kms-endpoint");
        }
        let mut accounts: Vec<&str> = rows.iter().map(|row| row.account.as_str()).collect();
        accounts.sort_unstable();
        if accounts.windows(2).any(|two| two[0] == two[1]) {
            return wrong("kms credentials", "given once for each account");
        }
        if rows
            .iter()
            .any(|row| row.account != ALL && row.account.parse::<Account>().is_err())
        {
            return wrong("kms-account", "an account's number, or all");
        }
        Ok(())
    }

    /// The outside KMS, when there is one. Checked before.
    pub(crate) fn open(&self) -> Option<Outside> {
        let endpoint = self.endpoint.clone()?;
        let credentials = self
            .rows()
            .into_iter()
            .map(|row| (row.account.clone(), row))
            .collect();
        let kms = HttpKms {
            endpoint: endpoint.clone(),
            credentials,
            poster: Poster::default(),
            clock: Arc::new(SystemClock),
        };
        Some(Outside {
            endpoint,
            kms: Arc::new(kms),
            region: self.region.clone(),
            default_key: self.default_key.clone(),
            retry: RetryPlan::default(),
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Signs and posts calls.
struct HttpKms {
    endpoint: String,
    /// By account, or under `all`.
    credentials: HashMap<String, CredentialRow>,
    poster: Poster,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for HttpKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpKms")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl OutsideKms for HttpKms {
    async fn call(
        &self,
        account: &Account,
        region: &Region,
        operation: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, CallError> {
        let credential = self
            .credentials
            .get(account.as_str())
            .or_else(|| self.credentials.get(ALL))
            .ok_or(CallError::NoCredentials)?;
        let unusable = |error: &dyn fmt::Display| CallError::Unavailable(error.to_string());
        let address = Address::parse(&self.endpoint.replace(REGION, region.as_str()))
            .ok_or_else(|| unusable(&"the endpoint is no URL"))?;
        let body = Bytes::from(body.to_vec());
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, address.authority.clone());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        let target = format!("TrentService.{operation}");
        headers.insert(
            "x-amz-target",
            HeaderValue::from_str(&target).map_err(|error| unusable(&error))?,
        );
        let request = RawRequest {
            method: Method::POST,
            path: address.target.path().to_owned(),
            query: address.target.query().unwrap_or_default().to_owned(),
            headers,
            body: body.clone(),
        };
        let signer = Signer {
            access_key_id: &credential.access_key_id,
            secret: &credential.secret_access_key.0,
            security_token: None,
            region: region.as_str(),
            service: "kms",
        };
        let signature = signer
            .sign_header(&request, self.clock.now().seconds())
            .map_err(|error| unusable(&error))?;
        let mut headers = request.headers;
        headers.extend(signature);
        let wanted = Wanted::Body(ANSWER_BYTES_MAX);
        let (status, answer) = self
            .poster
            .post(&address, headers, body, wanted)
            .await
            .map_err(|error| unusable(&error))?;
        if status == 200 {
            return Ok(Zeroizing::new(answer.to_vec()));
        }
        Err(refusal(status, &answer))
    }
}

/// What an answer that is no success says.
fn refusal(status: u16, body: &[u8]) -> CallError {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message", default)]
        message: String,
    }
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return CallError::Unavailable(format!("it answered {status} and no word of a KMS"));
    };
    // Some name the error with a prefix: com.amazonaws.kms#NotFoundException.
    let code = said.kind.rsplit('#').next().unwrap_or_default().to_owned();
    if 500 <= status || RETRYABLE.contains(&code.as_str()) {
        return CallError::Unavailable(format!("it answered {status} {code}"));
    }
    CallError::Refused {
        code,
        message: said.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> KmsLayer {
        toml::from_str(text).expect("a legal table")
    }

    #[test]
    fn settings_are_whole_or_absent() {
        let key = "access-key-id = 'AKIA'\nsecret-access-key = 'x'\n";
        assert!(KmsLayer::default().check().is_ok() && KmsLayer::default().open().is_none());
        let good = layer(&format!(
            "endpoint = 'https://kms.{{region}}.amazonaws.com'\n{key}"
        ));
        assert!(good.check().is_ok() && good.open().is_some());
        assert!(
            layer(&format!("endpoint = 'http://127.0.0.1:1'\n{key}"))
                .check()
                .is_ok()
        );
        for wrong in [
            key.to_owned(),
            format!("endpoint = 'http://kms.example'\n{key}"),
            format!("endpoint = 'kms.example'\n{key}"),
            "endpoint = 'https://kms.example'\n".to_owned(),
            format!("endpoint = 'https://kms.example'\naccount = 'me'\n{key}"),
            "endpoint = 'https://kms.example'\naccess-key-id = 'AKIA'\n".to_owned(),
            format!(
                "endpoint = 'https://kms.example'\n{key}[[credentials]]\naccount = '000000000000'\n{key}"
            ),
        ] {
            assert!(layer(&wrong).check().is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let layer = layer(
            "endpoint = 'https://kms.example'\naccess-key-id = 'AKIA'\nsecret-access-key = 'hush'\n",
        );
        assert!(!format!("{layer:?} {:?}", layer.open()).contains("hush"));
    }

    #[test]
    fn refusals_are_told_from_trouble() {
        let no = refusal(
            400,
            br#"{"__type": "com.amazonaws.kms#DisabledException", "message": "off"}"#,
        );
        assert!(
            matches!(no, CallError::Refused { code, message } if code == "DisabledException" && message == "off")
        );
        for (status, body) in [
            (500, r#"{"__type": "KMSInternalException", "Message": "x"}"#),
            (400, r#"{"__type": "ThrottlingException"}"#),
            (502, "<html>"),
        ] {
            let trouble = refusal(status, body.as_bytes());
            assert!(matches!(trouble, CallError::Unavailable(_)), "{body}");
        }
    }
}
