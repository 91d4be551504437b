//! Roles of the settings file: which accounts may act for which others, by AssumeRole.
use model::{Account, limits};
use serde::Deserialize;
use service::auth::sessions::{Role, RoleArn};

use crate::settings::SettingsError;

/// Bounds of how long a role's session may last, seconds: AWS's own.
const SESSION_SECS: std::ops::RangeInclusive<u64> = 3_600..=limits::SESSION_SECS_MAX;

/// A `[[role]]` of the settings file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RoleRow {
    /// `arn:aws:iam::ACCOUNT:role/NAME`: a session acts for this account.
    pub(crate) arn: String,
    /// The accounts that may assume it.
    pub(crate) trusts: Vec<Account>,
    /// What they must name as ExternalId.
    pub(crate) external_id: Option<String>,
    /// How long a session may last.
    pub(crate) session_seconds_max: Option<u64>,
}

impl RoleRow {
    /// The role.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn role(&self) -> Result<Role, SettingsError> {
        let wrong = |setting, expected| SettingsError::Value { setting, expected };
        let arn = RoleArn::parse(&self.arn)
            .ok_or_else(|| wrong("a role's arn", "as arn:aws:iam::ACCOUNT:role/NAME"))?;
        if self.trusts.is_empty() {
            return Err(wrong("a role's trusts", "at least one account"));
        }
        let session_secs_max = self.session_seconds_max.unwrap_or(*SESSION_SECS.start());
        if !SESSION_SECS.contains(&session_secs_max) {
            return Err(wrong("a role's session-seconds-max", "3600 to 43200"));
        }
        Ok(Role {
            arn,
            trusts: self.trusts.clone(),
            external_id: self.external_id.clone(),
            session_secs_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_whole_or_refused() {
        let row = |text: &str| {
            toml::from_str::<RoleRow>(text)
                .map(|row| row.role().is_ok())
                .ok()
        };
        let good = "arn = \"arn:aws:iam::111122223333:role/backup\"\ntrusts = [\"444455556666\"]";
        assert_eq!(row(good), Some(true));
        assert_eq!(
            row(&format!("{good}\nsession-seconds-max = 43200")),
            Some(true)
        );
        assert_eq!(
            row(&format!("{good}\nsession-seconds-max = 60")),
            Some(false)
        );
        assert_eq!(row(&good.replace(":role/", ":user/")), Some(false));
        assert_eq!(row(&good.replace("\"444455556666\"", "")), Some(false));
        assert_eq!(row(&good.replace("444455556666", "4")), None);
        assert_eq!(row("arn = \"x\""), None);
    }
}
