//! The OpenAPI document of the JSON door, made from the actions' own types.
//!
//! It does not know any action: the registry names them, and serde's names are the members' names.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{action::Entry, actions::ACTIONS};
use service::fault::Code;

/// The document as text: `docs/reference/openapi.json`, and served.
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// The document: OpenAPI 3.1.
pub fn document() -> Value {
    let paths: Map<String, Value> = ACTIONS
        .iter()
        .map(|entry| {
            (
                format!("/{}", entry.door),
                json!({ "post": operation(entry) }),
            )
        })
        .collect();
    let by_status = by_status();
    let mut schemas: Map<String, Value> = by_status
        .iter()
        .map(|(status, codes)| (format!("Fault{status}"), fault_schema(codes)))
        .collect();
    for entry in ACTIONS {
        let shapes = (entry.shapes)();
        schemas.insert(format!("{}Input", entry.door), shapes.input);
        schemas.insert(format!("{}Data", entry.door), shapes.data);
    }
    let faults: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            json!({ "fault": code.as_str(), "status": code.status(), "code": code.door().as_str() })
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Snapferry's JSON door",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The actions of RDS cluster snapshots, their KMS keys, STS, tags and AWS Backup, in plain JSON.",
            "description": "Each action is a POST of its parameters to its own path. The same call is answered at `/` with `?Action=<name>` or a member `Action`; a JSON POST to `/` that names no action is a CopyDBClusterSnapshot. `null` counts as absent. The AWS protocols are answered at `/` by the same server.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8085", "description": "`snapferry serve --dev`" }],
        "security": [{ "sigv4": [] }, {}],
        "tags": crate::action::Api::ALL.iter().map(|api| json!({ "name": api.as_str() })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses(&by_status),
            "securitySchemes": { "sigv4": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "x-amazon-apigateway-authtype": "awsSigv4",
                "description": "AWS Signature Version 4 over the request, for the service that the action's tag names. With `serve --dev` signatures are neither needed nor checked.",
            } },
        },
        "x-faults": faults,
    })
}

/// Codes by their status.
fn by_status() -> BTreeMap<u16, Vec<Code>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status
}

fn operation(entry: &Entry) -> Value {
    let shapes = (entry.shapes)();
    let needs_body = shapes.input["required"]
        .as_array()
        .is_some_and(|required| !required.is_empty());
    let mut answers: Map<String, Value> = by_status()
        .keys()
        .map(|status| {
            let reference = format!("#/components/responses/Fault{status}");
            (status.to_string(), json!({ "$ref": reference }))
        })
        .collect();
    answers.insert(
        "200".to_owned(),
        json!({
            "description": "Done.",
            "content": { "application/json": { "schema": {
                "type": "object",
                "properties": {
                    "success": { "const": true },
                    "data": { "$ref": format!("#/components/schemas/{}Data", entry.door) },
                    "request_id": { "type": "string", "format": "uuid" },
                },
                "required": ["success", "data", "request_id"],
                "additionalProperties": false,
            } } },
        }),
    );
    let mut operation = json!({
        "operationId": entry.door,
        "x-action": entry.name,
        "tags": [entry.api.as_str()],
        "summary": if entry.reads { "Reads; changes nothing." } else { "Changes what exists." },
        "requestBody": {
            "required": needs_body,
            "content": { "application/json": {
                "schema": { "$ref": format!("#/components/schemas/{}Input", entry.door) },
            } },
        },
        "responses": answers,
    });
    if let Some(book) = entry.api.book() {
        let page = format!("https://docs.aws.amazon.com/{book}/API_{}.html", entry.name);
        operation["externalDocs"] = json!({ "url": page });
    }
    operation
}

/// The envelope of the faults of one status.
fn fault_schema(codes: &[Code]) -> Value {
    let mut doors: Vec<&str> = codes.iter().map(|code| code.door().as_str()).collect();
    doors.sort_unstable();
    doors.dedup();
    let faults: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "properties": {
            "success": { "const": false },
            "error": {
                "type": "object",
                "properties": {
                    "code": { "enum": doors, "description": "What kind of refusal it is." },
                    "message": { "type": "string", "description": "For people." },
                    "fault": { "enum": faults, "description": "The code that AWS gives it." },
                    "request_id": { "type": "string", "format": "uuid" },
                },
                "required": ["code", "message", "fault", "request_id"],
                "additionalProperties": false,
            },
        },
        "required": ["success", "error"],
        "additionalProperties": false,
    })
}

fn responses(by_status: &BTreeMap<u16, Vec<Code>>) -> Map<String, Value> {
    by_status
        .keys()
        .map(|status| {
            let reason = http::StatusCode::from_u16(*status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or_default();
            let reference = format!("#/components/schemas/Fault{status}");
            let response = json!({
                "description": reason,
                "content": { "application/json": { "schema": { "$ref": reference } } },
            });
            (format!("Fault{status}"), response)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_path_and_closed_input() {
        let document = document();
        for entry in ACTIONS {
            let operation = &document["paths"][format!("/{}", entry.door)]["post"];
            assert_eq!(operation["operationId"], entry.door);
            let input = &document["components"]["schemas"][format!("{}Input", entry.door)];
            assert_eq!(input["additionalProperties"], false, "{}", entry.name);
        }
    }

    #[test]
    fn members_have_their_wire_names() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let copy = &schemas["CopyDBClusterSnapshotInput"];
        assert_eq!(
            copy["required"],
            json!([
                "SourceDBClusterSnapshotIdentifier",
                "TargetDBClusterSnapshotIdentifier"
            ])
        );
        assert_eq!(
            copy["properties"]["Tags"]["items"]["required"],
            json!(["Key"])
        );
        let data = &schemas["CopyDBClusterSnapshotData"]["properties"];
        assert!(data["id"].is_object() && data["SourceDBClusterSnapshotArn"].is_object());
        assert!(data.get("recorded_at").is_none());
    }
}
