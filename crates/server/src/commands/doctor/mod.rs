//! `snapferry doctor`: looks at what a server needs, and names what is to be done.
//!
//! It does not know what is looked at: each check is a function.
mod finding;
mod machine;
mod records;
mod site;

use clap::Args;
use serde_json::json;

use self::{
    finding::{Finding, State},
    site::Site,
};
use crate::commands::{
    arguments::{Format, Offline},
    failure::Failure,
    invocation::{Invocation, Outcome, Run},
    output::{print, run, table},
};

/// A look at one thing.
type Check = fn(&Site) -> Vec<Finding>;

/// All looks that need no catalog, in the order in which they are told.
const CHECKS: &[(&str, Check)] = &[
    ("data folder", records::data_folder),
    ("address", machine::address),
    ("rights", machine::rights),
    ("open files", machine::open_files),
    ("engines", machine::engines),
    ("disk", machine::disk),
    ("credentials", records::credentials),
];

/// Look at what a server needs on this machine, and say what is to be done
///
/// The data folder, the address, the rights of root, open files, engines, disk space, credentials, the catalog, the
/// clock, the master key and the vault, as `serve` would find them with the same settings. It changes nothing, and a
/// server may run meanwhile. Run it as the server's user.
///
/// Exit status: 0 when all is well or there are only warnings, 3 when a check failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    snapferry doctor\n  \
    snapferry doctor --config /etc/snapferry.toml --json")]
pub(crate) struct Doctor {
    #[command(flatten)]
    offline: Offline,
    #[command(flatten)]
    format: Format,
}

impl Run for Doctor {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let site = Site::of(self.offline)?;
        let mut all: Vec<(&str, Finding)> = Vec::new();
        for (name, check) in CHECKS {
            all.extend(check(&site).into_iter().map(|finding| (*name, finding)));
        }
        all.extend(run(async { Ok(records::of_catalog(&site).await) })?);
        print(&shown(&all, self.format))?;
        let failed = all
            .iter()
            .any(|(_, finding)| finding.state == State::Failed);
        Ok(Outcome::of(failed))
    }
}

fn shown(all: &[(&str, Finding)], format: Format) -> String {
    let count = |state| {
        all.iter()
            .filter(|(_, finding)| finding.state == state)
            .count()
    };
    let (failed, warnings) = (count(State::Failed), count(State::Warning));
    match format {
        Format::Json => {
            let checks = all.iter().map(|(check, finding)| {
                json!({
                    "check": check, "state": finding.state.word(),
                    "found": finding.found, "remedy": finding.remedy,
                })
            });
            let report = json!({
                "ok": failed == 0, "failed": failed, "warnings": warnings,
                "checks": checks.collect::<Vec<_>>(),
            });
            format!("{report}\n")
        }
        Format::Text => {
            let rows = all.iter().map(|(check, finding)| {
                let word = finding.state.word().to_owned();
                vec![word, (*check).to_owned(), finding.found.clone()]
            });
            let mut text = table(&["STATE", "CHECK", "FOUND"], rows);
            for (check, finding) in all {
                if let Some(remedy) = &finding.remedy {
                    text.push_str(&format!("\n{check}: {remedy}\n"));
                }
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_its_remedy_below() {
        let all = [
            ("disk", Finding::ok("much")),
            ("rights", Finding::failed("none").with("give it back")),
        ];
        let text = shown(&all, Format::Text);
        assert!(text.ends_with("\nrights: give it back\n"), "{text}");
        let read: serde_json::Value =
            serde_json::from_str(&shown(&all, Format::Json)).expect("JSON");
        assert_eq!((&read["ok"], &read["failed"]), (&json!(false), &json!(1)));
        assert_eq!(read["checks"][1]["remedy"], "give it back");
    }
}
