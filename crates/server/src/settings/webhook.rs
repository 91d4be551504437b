//! A webhook of the settings file.
//!
//! It does not know how it is posted to.
use serde::Deserialize;
use service::EventSource;

use super::{SettingsError, address::Address, values::Secret};

/// The shortest secret, characters: shorter ones can be guessed.
const SECRET_CHARS_MIN: usize = 16;

/// A webhook of the settings file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookRow {
    /// The address.
    pub(crate) url: String,
    /// What deliveries are signed with.
    pub(crate) secret: Secret,
    /// The ARN of the topic that it stands for in event subscriptions.
    #[serde(default)]
    pub(crate) topic: Option<String>,
    /// Whose events they are said to be: `snapferry` or `aws`.
    #[serde(default)]
    pub(crate) source: EventSource,
}

impl WebhookRow {
    /// Refuses an address that cannot be posted to, and a secret that is none.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if Address::parse(&self.url).is_none() {
            return Err(SettingsError::Value {
                setting: "a webhook's url",
                expected: "an http:// or https:// URL without a user name",
            });
        }
        if self.secret.0.chars().count() < SECRET_CHARS_MIN {
            return Err(SettingsError::Value {
                setting: "a webhook's secret",
                expected: "at least 16 characters",
            });
        }
        let is_topic = |text: &String| text.contains(":sns:") && model::Arn::parse(text).is_ok();
        if self.topic.as_ref().is_some_and(|topic| !is_topic(topic)) {
            return Err(SettingsError::Value {
                setting: "a webhook's topic",
                expected: "the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_an_address_and_a_secret() {
        let row = |url: &str, secret: &str| {
            let row: WebhookRow =
                toml::from_str(&format!("url = '{url}'\nsecret = '{secret}'\n")).expect("a row");
            assert!(!format!("{row:?}").contains(secret));
            row.check().is_ok()
        };
        assert!(row("https://a.example/", "sixteen-or-more!"));
        assert!(!row("https://a.example/", "short"));
        assert!(!row("a.example", "sixteen-or-more!"));
    }
}
