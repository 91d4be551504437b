//! How two values of one thing differ, for people.
//!
//! It does not know what the things are, but that items of lists have names.
use serde_json::{Map, Value};

/// Members that name an item of a list.
const NAMES: [&str; 3] = ["RuleName", "DestinationBackupVaultArn", "ConditionKey"];

/// One line for each member that is to become another; none when all is as it is to be. What is there
/// and not wanted by name, such as ids, stays out of it.
pub(super) fn lines(is: &Value, wanted: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", is, wanted, &mut found);
    found
}

fn walk(path: &str, is: &Value, wanted: &Value, found: &mut Vec<String>) {
    match (is, wanted) {
        (Value::Object(is), Value::Object(wanted)) => {
            for (name, value) in wanted {
                let below = join(path, name);
                walk(&below, is.get(name).unwrap_or(&Value::Null), value, found);
            }
            // A lifecycle, or a tag, that is to go.
            for (name, value) in is {
                let is_told = !wanted.contains_key(name) && !is_kept(name) && !is_empty(value);
                if is_told {
                    found.push(format!("{}: {} -> nothing", join(path, name), text(value)));
                }
            }
        }
        (Value::Array(was), Value::Array(to_be)) if named(was) && named(to_be) => {
            let was = by_name(was);
            let to_be = by_name(to_be);
            for (name, value) in &to_be {
                let below = format!("{path}[{name}]");
                match was.get(name) {
                    Some(is) => walk(&below, is, value, found),
                    None => found.push(format!("{below}: new")),
                }
            }
            for name in was.keys().filter(|name| !to_be.contains_key(*name)) {
                found.push(format!("{path}[{name}]: gone"));
            }
        }
        (is, wanted) if is == wanted || is_empty(is) && is_empty(wanted) => {}
        (is, wanted) => found.push(format!("{path}: {} -> {}", text(is), text(wanted))),
    }
}

/// What the server alone says.
fn is_kept(name: &str) -> bool {
    [
        "RuleId",
        "EnableContinuousBackup",
        "CreationTime",
        "CreatorRequestId",
        "LastExecutionTime",
        "LastUpdateTime",
        "RestoreTestingPlanArn",
        "RestoreTestingPlanName",
        "OptInToArchiveForSupportedResources",
    ]
    .contains(&name)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}

fn join(path: &str, name: &str) -> String {
    match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    }
}

fn name_of(item: &Value) -> Option<&str> {
    NAMES.iter().find_map(|name| item.get(*name)?.as_str())
}

fn named(items: &[Value]) -> bool {
    items.iter().all(|item| name_of(item).is_some())
}

fn by_name(items: &[Value]) -> Map<String, Value> {
    let pairs = items.iter();
    pairs
        .filter_map(|item| Some((name_of(item)?.to_owned(), item.clone())))
        .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_by_name() {
        let is = json!({"BackupPlanName": "a", "Rules": [
            {"RuleName": "night", "RuleId": "1", "ScheduleExpression": "cron(0 5 ? * * *)", "Lifecycle": {"DeleteAfterDays": 7}, "CopyActions": []},
            {"RuleName": "old"},
        ]});
        let wanted = json!({"BackupPlanName": "a", "Rules": [
            {"RuleName": "night", "ScheduleExpression": "cron(0 6 ? * * *)"}, {"RuleName": "new"},
        ]});
        assert_eq!(
            lines(&is, &wanted),
            [
                "Rules[new]: new",
                "Rules[night].ScheduleExpression: cron(0 5 ? * * *) -> cron(0 6 ? * * *)",
                "Rules[night].Lifecycle: {\"DeleteAfterDays\":7} -> nothing",
                "Rules[old]: gone",
            ]
        );
        assert_eq!(lines(&is, &is), [""; 0]);
        let listed = json!({"Resources": ["b"], "Conditions": {"StringLike": []}});
        assert_eq!(lines(&json!({"Resources": ["b"]}), &listed), [""; 0]);
    }
}
