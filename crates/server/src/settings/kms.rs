//! The settings of an outside KMS.
//!
//! It does not know how it is asked.
use clap::Args;
use model::{Account, Region};
use serde::Deserialize;

use super::{SettingsError, address::Address, values::Secret};

/// Stands for a region's name in the endpoint.
pub(crate) const REGION: &str = "{region}";
/// Says that a credential serves every account.
pub(crate) const ALL: &str = "all";
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
    pub(crate) fn rows(&self) -> Vec<CredentialRow> {
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
        if !address.is_some_and(|address| address.tls || address.is_loopback()) {
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
        assert!(KmsLayer::default().check().is_ok());
        let good = layer(&format!(
            "endpoint = 'https://kms.{{region}}.amazonaws.com'\n{key}"
        ));
        assert!(good.check().is_ok());
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
}
