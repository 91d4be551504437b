//! The secret that holds the password of a cluster's master user, as RDS manages it in Secrets
//! Manager.
//!
//! It does not know the password: each version's value is sealed. It ends with its cluster.
//! Source: "Password management with Aurora and AWS Secrets Manager", Aurora User Guide.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    key::WrappedKey,
};

/// How often RDS rotates when nobody says otherwise.
pub const ROTATION_DAYS: u32 = 7;
/// Bounds of `AutomaticallyAfterDays`.
const DAYS: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The least of `rate(… hours)`.
const HOURS_MIN: u32 = 4;
const HOUR_SECS: u64 = 3_600;

/// Where a secret stands. RDS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretStatus {
    /// Its first password is not the master user's yet.
    Creating,
    /// Its password is the master user's.
    Active,
    /// The master user is being given its next password.
    Rotating,
    /// It is good, but could not be rotated.
    Impaired,
}

impl SecretStatus {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Impaired => "impaired",
        }
    }
}

/// What a version of a secret is. Secrets Manager's staging labels, of which each version has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The master user's password.
    Current,
    /// The one before.
    Previous,
    /// The one to be.
    Pending,
}

impl Stage {
    /// All.
    pub const ALL: [Self; 3] = [Self::Current, Self::Previous, Self::Pending];

    /// The word in requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Previous => "AWSPREVIOUS",
            Self::Pending => "AWSPENDING",
        }
    }
}

/// A version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// A UUID, or what the caller named it.
    pub id: String,
    /// What it is.
    pub stage: Stage,
    /// When it was drawn.
    pub created_at: Timestamp,
    /// The key that its value is sealed under, wrapped.
    pub data_key: WrappedKey,
    /// Its value, sealed.
    #[serde(with = "crate::key::hex")]
    pub sealed: Vec<u8>,
}

/// When a secret is rotated by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationRules {
    /// Days between two rotations; none with a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_days: Option<u32>,
    /// `rate(10 days)` or `rate(12 hours)`, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The length of the window, such as `3h`, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
}

impl RotationRules {
    /// Those of a new secret.
    pub fn weekly() -> Self {
        Self {
            after_days: Some(ROTATION_DAYS),
            ..Self::default()
        }
    }

    /// The time between two rotations; none when the rules say none that can be kept.
    pub fn period(&self) -> Option<Duration> {
        let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * HOUR_SECS);
        match (&self.schedule, self.after_days) {
            (None, Some(count)) => DAYS.contains(&count).then(|| days(count)),
            (Some(schedule), None) => {
                let inner = schedule.strip_prefix("rate(")?.strip_suffix(')')?;
                let (count, unit) = inner.trim().split_once(' ')?;
                let count: u32 = count.parse().ok()?;
                match unit.trim() {
                    "day" | "days" => DAYS.contains(&count).then(|| days(count)),
                    "hour" | "hours" => {
                        let hours = Duration::from_secs(u64::from(count) * HOUR_SECS);
                        (HOURS_MIN <= count && hours <= days(*DAYS.end())).then_some(hours)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The secret of a cluster's master user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterSecret {
    /// `rds!cluster-<uuid>`.
    pub name: String,
    /// What its ARN has behind its name and a hyphen.
    pub suffix: String,
    /// Where it stands.
    pub status: SecretStatus,
    /// The key that its versions are sealed under.
    pub kms_key: Arn,
    /// Whether that is the one of Secrets Manager's own.
    #[serde(default)]
    pub is_default_key: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it was last changed.
    pub changed_at: Timestamp,
    /// When its password was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// When it is rotated again by itself.
    pub rotates_at: Timestamp,
    /// How often.
    #[serde(default)]
    pub rules: RotationRules,
    /// Its versions, one for each stage at most.
    pub versions: Vec<SecretVersion>,
}

impl MasterSecret {
    /// `arn:…:secret:rds!cluster-<uuid>-<six characters>`.
    pub fn arn(&self, region: &Region, account: &Account) -> Arn {
        let name = format!("{}-{}", self.name, self.suffix);
        Arn::of(Kind::Secret, region, account, &name)
    }

    /// Whether a text is its name, or its ARN's name with or without what is behind it.
    pub fn is_named(&self, text: &str) -> bool {
        let rest = text.strip_prefix(self.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-') == Some(&self.suffix))
    }

    /// Its version of a stage.
    pub fn version(&self, stage: Stage) -> Option<&SecretVersion> {
        self.versions.iter().find(|version| version.stage == stage)
    }

    /// Adds the password to be.
    pub fn stage(&mut self, version: SecretVersion, now: Timestamp) {
        self.versions.retain(|one| one.stage != Stage::Pending);
        self.versions.push(version);
        self.changed_at = now;
    }

    /// The password to be is the master user's now.
    pub fn promote(&mut self, now: Timestamp) {
        if self.version(Stage::Pending).is_some() {
            self.versions.retain(|one| one.stage != Stage::Previous);
            let was_made = self.version(Stage::Current).is_some();
            for version in &mut self.versions {
                version.stage = match version.stage {
                    Stage::Pending => Stage::Current,
                    _ => Stage::Previous,
                };
            }
            self.rotated_at = was_made.then_some(now).or(self.rotated_at);
        }
        self.status = SecretStatus::Active;
        self.changed_at = now;
        self.schedule(now);
    }

    /// The password to be will not be. Answers whether there is another one.
    pub fn abandon(&mut self, now: Timestamp) -> bool {
        self.versions.retain(|one| one.stage != Stage::Pending);
        self.status = SecretStatus::Impaired;
        self.changed_at = now;
        self.version(Stage::Current).is_some()
    }

    /// The next rotation is a period from here.
    pub fn schedule(&mut self, now: Timestamp) {
        let weekly = || RotationRules::weekly().period();
        let period = self.rules.period().or_else(weekly).unwrap_or_default();
        self.rotates_at = now.plus(period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, stage: Stage) -> SecretVersion {
        SecretVersion {
            id: id.to_owned(),
            stage,
            created_at: Timestamp(1),
            data_key: WrappedKey {
                key: Arn::parse("arn:aws:kms:us-east-1:123456789012:key/x").expect("legal"),
                blob: vec![1],
                context: Default::default(),
            },
            sealed: vec![2],
        }
    }

    fn secret() -> MasterSecret {
        MasterSecret {
            name: "rds!cluster-1".to_owned(),
            suffix: "AbCdEf".to_owned(),
            status: SecretStatus::Creating,
            kms_key: Arn::parse("arn:aws:kms:us-east-1:123456789012:key/x").expect("legal"),
            is_default_key: true,
            created_at: Timestamp(1),
            changed_at: Timestamp(1),
            rotated_at: None,
            rotates_at: Timestamp(1),
            rules: RotationRules::weekly(),
            versions: vec![version("a", Stage::Pending)],
        }
    }

    fn stages(secret: &MasterSecret) -> Vec<(&str, Stage)> {
        let versions = secret.versions.iter();
        versions.map(|one| (one.id.as_str(), one.stage)).collect()
    }

    #[test]
    fn versions_move_on_by_one_stage() {
        let mut secret = secret();
        secret.promote(Timestamp(10));
        assert_eq!(stages(&secret), [("a", Stage::Current)]);
        assert_eq!(
            (secret.status, secret.rotated_at),
            (SecretStatus::Active, None)
        );
        for (id, before) in [("b", "a"), ("c", "b")] {
            secret.stage(version(id, Stage::Pending), Timestamp(20));
            secret.promote(Timestamp(30));
            assert_eq!(
                stages(&secret),
                [(before, Stage::Previous), (id, Stage::Current)]
            );
            assert_eq!(secret.rotated_at, Some(Timestamp(30)));
            assert_eq!(
                secret.rotates_at,
                Timestamp(30).plus(Duration::from_secs(604_800))
            );
        }
        secret.stage(version("d", Stage::Pending), Timestamp(40));
        assert!(secret.abandon(Timestamp(50)), "the current one stays");
        assert_eq!(
            stages(&secret),
            [("b", Stage::Previous), ("c", Stage::Current)]
        );
        assert_eq!(secret.status, SecretStatus::Impaired);
    }

    #[test]
    fn one_that_never_was_has_nothing_left() {
        assert!(!secret().abandon(Timestamp(50)));
    }

    #[test]
    fn it_is_named_with_and_without_its_suffix() {
        let secret = secret();
        for good in ["rds!cluster-1", "rds!cluster-1-AbCdEf"] {
            assert!(secret.is_named(good), "{good}");
        }
        for wrong in [
            "rds!cluster-",
            "rds!cluster-1-",
            "rds!cluster-1-AbCdEg",
            "rds!cluster-10",
        ] {
            assert!(!secret.is_named(wrong), "{wrong}");
        }
    }

    #[test]
    fn rules_have_a_period_or_none() {
        let of = |after_days, schedule: Option<&str>| {
            let rules = RotationRules {
                after_days,
                schedule: schedule.map(str::to_owned),
                window: None,
            };
            rules.period().map(|period| period.as_secs())
        };
        assert_eq!(of(Some(7), None), Some(604_800));
        assert_eq!(of(None, Some("rate(10 days)")), Some(864_000));
        assert_eq!(of(None, Some("rate(4 hours)")), Some(14_400));
        for wrong in [
            "rate(3 hours)",
            "rate(0 days)",
            "cron(0 8 1 * ? *)",
            "rate(1001 days)",
            "x",
        ] {
            assert_eq!(of(None, Some(wrong)), None, "{wrong}");
        }
        assert_eq!((of(Some(0), None), of(Some(1_001), None)), (None, None));
        assert_eq!(of(Some(1), Some("rate(1 day)")), None, "one of the two");
    }
}
