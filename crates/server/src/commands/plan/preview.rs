//! When the rules of a file are due next, and how much they keep.
//!
//! It does not know what is there by now: nobody is asked.
use std::time::Duration;

use model::{
    Timestamp,
    schedule::{Schedule, Zone},
};
use serde_json::{Value, json};

use super::file::{File, Rule};
use crate::commands::output::table;

/// Recovery points of a rule that are counted: more are not told.
const KEPT_MAX: usize = 100_000;
const DAY_SECS: u64 = 24 * 60 * 60;

/// A time at which something is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    plan: String,
    /// None: it is a restore testing plan's.
    rule: Option<String>,
    vault: Option<String>,
    kept_until: Option<Timestamp>,
}

/// How many recovery points of each cluster a rule keeps in the long run; none: all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    plan: String,
    rule: String,
    count: Option<usize>,
}

/// What comes of a file from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preview {
    due: Vec<Due>,
    kept: Vec<Kept>,
}

/// Moments at which a schedule is due after another one. What does not read is never due: a file is checked
/// when it is read.
fn times(schedule: &str, zone: &str, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let parsed = Schedule::parse(schedule).ok().zip(Zone::parse(zone).ok());
    let mut after = now;
    std::iter::from_fn(move || {
        let (schedule, zone) = parsed.as_ref()?;
        after = schedule.next(zone, now, after)?;
        Some(after)
    })
}

fn days(days: i64) -> Duration {
    let days = u64::try_from(days).unwrap_or_default();
    Duration::from_secs(days.saturating_mul(DAY_SECS))
}

impl Rule {
    fn times(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        times(
            &self.schedule_expression,
            &self.schedule_expression_timezone,
            now,
        )
    }

    /// How many recovery points lie in the vault at once, when each stays for its days.
    fn kept(&self, now: Timestamp) -> Option<usize> {
        let end = now.plus(days(self.days_kept()?));
        let within = self.times(now).take_while(|at| *at <= end);
        Some(within.take(KEPT_MAX).count())
    }
}

impl Preview {
    /// The next `count` times of all that a file has.
    pub(super) fn of(file: &File, now: Timestamp, count: usize) -> Self {
        let (mut due, mut kept) = (Vec::new(), Vec::new());
        for plan in &file.plans {
            for rule in &plan.rules {
                let (plan, name) = (&plan.backup_plan_name, &rule.rule_name);
                let until = |at: Timestamp| rule.days_kept().map(|of| at.plus(days(of)));
                due.extend(rule.times(now).take(count).map(|at| Due {
                    at,
                    plan: plan.clone(),
                    rule: Some(name.clone()),
                    vault: Some(rule.target_backup_vault_name.clone()),
                    kept_until: until(at),
                }));
                kept.push(Kept {
                    plan: plan.clone(),
                    rule: name.clone(),
                    count: rule.kept(now),
                });
            }
        }
        for plan in &file.restore_testing_plans {
            let (schedule, zone) = plan.schedule();
            due.extend(times(schedule, zone, now).take(count).map(|at| Due {
                at,
                plan: plan.restore_testing_plan_name.clone(),
                rule: None,
                vault: None,
                kept_until: None,
            }));
        }
        due.sort();
        due.truncate(count);
        Self { due, kept }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let time = |at: &Timestamp| at.to_rfc3339_micros();
        let rows = self.due.iter().map(|one| {
            let (rule, vault) = match (&one.rule, &one.vault) {
                (Some(rule), Some(vault)) => (rule.as_str(), vault.as_str()),
                _ => ("restore test", ""),
            };
            let until = one.kept_until.as_ref().map_or_else(String::new, time);
            vec![
                time(&one.at),
                one.plan.clone(),
                rule.to_owned(),
                vault.to_owned(),
                until,
            ]
        });
        let mut text = table(&["DUE", "PLAN", "RULE", "VAULT", "KEPT UNTIL"], rows);
        for Kept { plan, rule, count } in &self.kept {
            let told = match count {
                None => "all recovery points, until somebody deletes them".to_owned(),
                Some(count) => format!("some {count} recovery points of each cluster"),
            };
            text.push_str(&format!("The rule {rule} of {plan} keeps {told}.\n"));
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let time = |at: &Timestamp| at.to_rfc3339_micros();
        let due = self.due.iter().map(|one| {
            json!({
                "time": time(&one.at), "plan": one.plan, "rule": one.rule, "vault": one.vault,
                "kept_until": one.kept_until.as_ref().map(time),
            })
        });
        let kept = self
            .kept
            .iter()
            .map(|one| json!({"plan": one.plan, "rule": one.rule, "recovery_points": one.count}));
        json!({"due": due.collect::<Vec<_>>(), "kept": kept.collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_is_due_and_what_stays() {
        let text = r#"
            [[Plans]]
            BackupPlanName = "p"
            [[Plans.Rules]]
            RuleName = "night"
            TargetBackupVaultName = "v"
            ScheduleExpression = "cron(0 3 * * ? *)"
            Lifecycle = { DeleteAfterDays = 7 }
            [[Plans.Rules]]
            RuleName = "year"
            TargetBackupVaultName = "v"
            ScheduleExpression = "cron(0 4 1 1 ? *)"
            [[RestoreTestingPlans]]
            RestoreTestingPlanName = "t"
            ScheduleExpression = "cron(0 2 2 1 ? *)"
            RecoveryPointSelection = { Algorithm = "LATEST_WITHIN_WINDOW", IncludeVaults = ["*"], RecoveryPointTypes = ["SNAPSHOT"] }
        "#;
        let file: File = toml::from_str(text).expect("it reads");
        let preview = Preview::of(&file, Timestamp(0), 4);
        let told: Vec<String> = preview
            .due
            .iter()
            .map(|one| {
                let rule = one.rule.as_deref().unwrap_or("test");
                format!("{} {rule}", one.at.to_rfc3339_micros())
            })
            .collect();
        assert_eq!(
            told,
            [
                "1970-01-01T03:00:00.000000Z night",
                "1970-01-01T04:00:00.000000Z year",
                "1970-01-02T02:00:00.000000Z test",
                "1970-01-02T03:00:00.000000Z night"
            ]
        );
        let until = preview.due[0].kept_until.expect("it goes");
        assert_eq!(until.to_rfc3339_micros(), "1970-01-08T03:00:00.000000Z");
        let counts: Vec<_> = preview.kept.iter().map(|one| one.count).collect();
        assert_eq!(counts, [Some(7), None]);
        assert!(preview.text().contains("The rule year of p keeps all"));
    }
}
