//! Answers of which a page shows whatever members they have.
use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::console::format::{Standing, moment, state, status};

/// What a depth of lists in lists is cut at.
const DEPTH_MAX: usize = 6;

/// All members but some, in the order of their names. Such without a value are left out.
pub(super) fn list(members: &Map<String, Value>, but: &[&str]) -> Markup {
    let shown = members.iter();
    let shown = shown.filter(|(name, value)| !but.contains(&name.as_str()) && !is_empty(value));
    html! {
        dl { @for (name, value) in shown { dt { (words(name)) } dd { (one(name, value, 0)) } } }
    }
}

/// A member's text; empty when it has none.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What a member is called on a page: `RestoreTime` is `Restore time`.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for (at, letter) in name.char_indices() {
        let next = name[at + letter.len_utf8()..].chars().next();
        let begins = letter.is_uppercase()
            && (before.is_lowercase() || next.is_some_and(char::is_lowercase));
        if begins && at != 0 {
            words.push(' ');
            match next.is_some_and(char::is_uppercase) {
                true => words.push(letter),
                false => words.extend(letter.to_lowercase()),
            }
        } else {
            words.push(letter);
        }
        before = letter;
    }
    words
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.iter().all(is_empty),
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}

fn one(name: &str, value: &Value, depth: usize) -> Markup {
    if DEPTH_MAX <= depth {
        return html! { (value.to_string()) };
    }
    match value {
        Value::Bool(true) if name == "Passed" => state(Standing::Good, "passed"),
        Value::Bool(false) if name == "Passed" => state(Standing::Bad, "failed"),
        Value::Bool(yes) => html! { (if *yes { "yes" } else { "no" }) },
        Value::String(text) if name.ends_with("Time") => moment(text),
        Value::String(text) if ["Outcome", "DeletionStatus", "Status"].contains(&name) => {
            status(text)
        }
        Value::String(text) => {
            html! { span class=(if text.contains(' ') { "" } else { "mono" }) { (text) } }
        }
        Value::Array(all) if all.iter().all(Value::is_object) => table(all, depth),
        Value::Array(all) => html! {
            ul class="plain" { @for value in all { li { (one(name, value, depth + 1)) } } }
        },
        Value::Object(members) => {
            let shown = members.iter().filter(|(_, value)| !is_empty(value));
            html! {
                ul class="plain" {
                    @for (name, value) in shown { li { (words(name)) ": " (one(name, value, depth + 1)) } }
                }
            }
        }
        other => html! { (other.to_string()) },
    }
}

/// Rows that have the same members.
fn table(rows: &[Value], depth: usize) -> Markup {
    let mut columns: Vec<&String> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    html! {
        div class="scroll" {
            table {
                thead { tr { @for name in &columns { th scope="col" { (words(name)) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for name in &columns {
                                td { @if let Some(value) = row.get(name.as_str()) { (one(name, value, depth + 1)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_have_names_that_read() {
        let names = [
            "RestoreTime",
            "DBClusterArn",
            "SqlSHA256",
            "Plan",
            "IamRoleArn",
            "x",
        ];
        assert_eq!(
            names.map(words),
            [
                "Restore time",
                "DB cluster arn",
                "Sql SHA256",
                "Plan",
                "Iam role arn",
                "x"
            ]
        );
    }

    #[test]
    fn whatever_an_answer_has_is_shown_as_text() {
        let answer = json!({
            "New": "<b>", "Deep": [[[[[[[["<i>"]]]]]]]], "None": null, "Empty": [], "Number": 1.5,
            "Rows": [{"Name": "a", "Passed": true}, {"Name": "b", "Passed": false, "More": {"X": "<u>"}}],
        });
        let members = answer.as_object().expect("an object");
        let shown = list(members, &["Number"]).into_string();
        for wanted in [
            "&lt;b&gt;",
            "&lt;i&gt;",
            "&lt;u&gt;",
            "● passed",
            "✖ failed",
            ">More<",
        ] {
            let plain = shown
                .replace("<span aria-hidden=\"true\">", "")
                .replace("</span> ", " ");
            assert!(plain.contains(wanted), "{wanted}: {shown}");
        }
        assert!(
            !shown.contains("1.5") && !shown.contains("Empty") && !shown.contains("None"),
            "{shown}"
        );
    }
}
