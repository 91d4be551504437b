//! What verbs print with `--json`, as JSON Schema: `docs/reference/cli.schema.json`. Tests compare what is
//! printed with it.
//!
//! It does not know how it is made: where a verb passes on what an action answers, the schema is the action's.
use serde_json::{Map, Value, json};

/// A verb, whether it prints an object a line, and what one is.
type Row = (&'static str, bool, fn() -> Value);

const ROWS: &[Row] = &[
    ("cluster list", false, clusters),
    ("doctor", false, doctor),
    ("drill list", false, || list(drill())),
    ("drill run", false, || {
        answer("RunRestoreTestingPlan", "/properties/Drills")
    }),
    ("drill show", false, drill),
    ("events", false, || list(event())),
    ("events --follow", true, event),
    ("job list", false, jobs),
    ("job watch", true, job_lines),
    ("key why", false, key),
    ("plan preview", false, preview),
    ("plan run", false, || {
        answer("RunBackupPlan", "/properties/BackupJobs")
    }),
    ("receipt verify", false, receipts),
    ("snapshot copy", true, snapshot_lines),
    ("snapshot cost", false, || {
        answer("DescribeDBClusterSnapshotCosts", "")
    }),
    ("snapshot diff", false, || {
        answer("DescribeDBClusterSnapshotDiff", "")
    }),
    ("snapshot list", false, || list(snapshot())),
    ("snapshot show", false, shown_snapshot),
    ("snapshot wait", true, snapshot_lines),
];

/// The document as text.
pub(crate) fn text() -> String {
    let verbs = ROWS.iter().map(|(verb, lines, schema)| {
        let mut schema = schema();
        schema["x-lines"] = json!(lines);
        ((*verb).to_owned(), schema)
    });
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What snapferry prints with --json, by verb",
        "description": "Made by `snapferry reference --schemas`. With x-lines a verb prints one such object a line, else one in all. Members may be added; none is taken away or changed.",
        "$defs": verbs.collect::<Map<String, Value>>(),
    });
    format!("{document:#}\n")
}

/// A part of what an action answers, by its path in the schema of its data.
fn answer(action: &str, path: &str) -> Value {
    let document = api::openapi::document();
    let found = document.pointer(&format!("/components/schemas/{action}Data{path}"));
    found
        .cloned()
        .expect("the document has every action of the registry")
}

fn snapshot() -> Value {
    answer("DescribeDBClusterSnapshots", "/properties/items/items")
}

fn drill() -> Value {
    answer("DescribeDrills", "/properties/items/items")
}

fn event() -> Value {
    answer("DescribeEvents", "/properties/items/items")
}

fn list(item: Value) -> Value {
    json!({"type": "array", "items": item})
}

fn kind(name: &str) -> Value {
    json!({"type": name})
}

fn or_null(name: &str) -> Value {
    json!({"type": [name, "null"]})
}

fn one_of(words: &[&str]) -> Value {
    json!({"enum": words})
}

/// An object that always has all of these members.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn clusters() -> Value {
    list(object([
        ("cluster", kind("string")),
        ("arn", kind("string")),
        ("status", kind("string")),
        ("engine", kind("string")),
        ("engine_version", kind("string")),
        ("endpoint", kind("string")),
        ("newest_snapshot", or_null("string")),
        ("newest_snapshot_age_seconds", or_null("integer")),
    ]))
}

fn preview() -> Value {
    let due = object([
        ("time", kind("string")),
        ("plan", kind("string")),
        ("rule", or_null("string")),
        ("vault", or_null("string")),
        ("kept_until", or_null("string")),
    ]);
    let kept = object([
        ("plan", kind("string")),
        ("rule", kind("string")),
        ("recovery_points", or_null("integer")),
    ]);
    object([("due", list(due)), ("kept", list(kept))])
}

fn receipts() -> Value {
    let chain = object([
        ("whose", kind("string")),
        ("first", kind("integer")),
        ("last", kind("integer")),
        ("successful", kind("integer")),
        ("sha256", kind("string")),
    ]);
    object([
        ("genuine", kind("boolean")),
        ("key", kind("string")),
        ("wrong", or_null("string")),
        ("chains", list(chain)),
    ])
}

fn shown_snapshot() -> Value {
    let cost = answer(
        "DescribeDBClusterSnapshotCosts",
        "/properties/Snapshots/items",
    );
    object([
        ("snapshot", snapshot()),
        // A server of an earlier release does not tell it.
        ("cost", json!({"anyOf": [cost, {"type": "null"}]})),
    ])
}

fn snapshot_lines() -> Value {
    let progress = object([
        ("type", json!({"const": "progress"})),
        ("status", kind("string")),
        ("percent", kind("integer")),
        ("seconds_remaining", or_null("integer")),
    ]);
    let result = object([
        ("type", json!({"const": "result"})),
        ("snapshot", snapshot()),
    ]);
    json!({"oneOf": [progress, result]})
}

fn jobs() -> Value {
    list(object([
        ("id", kind("string")),
        ("kind", kind("string")),
        ("state", one_of(&["open", "done", "failed", "canceled"])),
        ("node", or_null("string")),
        ("runner", or_null("string")),
        ("region", or_null("string")),
        ("account", or_null("string")),
        ("subject", kind("string")),
        ("attempts", kind("integer")),
        ("created_at", kind("string")),
        (
            "progress",
            object([
                ("bytes_total", kind("integer")),
                ("bytes_done", kind("integer")),
                ("bytes_shipped", kind("integer")),
                ("objects_shipped", kind("integer")),
                ("bytes_held", kind("integer")),
            ]),
        ),
        ("error", or_null("string")),
    ]))
}

fn job_lines() -> Value {
    let progress = object([
        ("type", json!({"const": "progress"})),
        ("job", kind("string")),
        ("kind", kind("string")),
        ("subject", kind("string")),
        ("percent", kind("integer")),
        ("bytes", kind("integer")),
        ("bytes_total", kind("integer")),
        ("seconds_remaining", or_null("integer")),
    ]);
    let result = object([
        ("type", json!({"const": "result"})),
        ("job", kind("string")),
        ("kind", kind("string")),
        ("subject", kind("string")),
        ("state", one_of(&["done", "failed", "canceled"])),
        ("error", or_null("string")),
    ]);
    json!({"oneOf": [progress, result]})
}

fn key() -> Value {
    object([
        (
            "key",
            object([
                ("arn", kind("string")),
                ("state", or_null("string")),
                ("manager", or_null("string")),
                ("deletion_date", or_null("number")),
            ]),
        ),
        (
            "snapshots",
            list(object([
                ("name", kind("string")),
                ("arn", kind("string")),
                ("cluster", kind("string")),
                ("created", kind("string")),
            ])),
        ),
        (
            "clusters",
            list(object([
                ("name", kind("string")),
                ("arn", kind("string")),
                ("only_password", kind("boolean")),
            ])),
        ),
    ])
}

fn doctor() -> Value {
    object([
        ("ok", kind("boolean")),
        ("failed", kind("integer")),
        ("warnings", kind("integer")),
        (
            "checks",
            list(object([
                ("check", kind("string")),
                ("state", one_of(&["ok", "warning", "failed"])),
                ("found", kind("string")),
                ("remedy", or_null("string")),
            ])),
        ),
    ])
}
