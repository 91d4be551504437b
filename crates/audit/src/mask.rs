//! What of a request's parameters no record has: passwords, plaintexts, tokens, signatures.
use serde_json::{Map, Value};

/// Stands for a secret.
pub const HIDDEN: &str = "****";

/// Parts of names whose values are secrets, whatever is in them.
const SECRETS: [&str; 8] = [
    "password",
    "plaintext",
    "secret",
    "token",
    "credential",
    "signature",
    "privatekey",
    "message",
];
/// Names with such a part whose values are none.
const HARMLESS: [&str; 7] = [
    "managemasteruserpassword",
    "rotatemasteruserpassword",
    "masterusersecretkmskeyid",
    "secretid",
    "nexttoken",
    "idempotencytoken",
    "messagetype",
];
/// Texts longer than this are cut: a record is no copy of the request.
const TEXT_CHARS_MAX: usize = 2_048;
/// Items of a list, and members of a structure, that are kept.
const ITEMS_MAX: usize = 200;

/// Parameters as a record has them: names begin with a small letter as CloudTrail's do, secrets are
/// [`HIDDEN`], and what is too long is cut.
pub fn masked(parameters: Value) -> Value {
    match parameters {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(name, _)| name != "Action" && name != "Version")
                .take(ITEMS_MAX)
                .map(member)
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => {
            Value::Array(items.into_iter().take(ITEMS_MAX).map(masked).collect())
        }
        Value::String(text) => Value::String(shown(text)),
        other => other,
    }
}

fn member((name, value): (String, Value)) -> (String, Value) {
    let value = match is_secret(&name) && !value.is_boolean() {
        true => Value::from(HIDDEN),
        false => masked(value),
    };
    (in_camel_case(&name), value)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret)) && !HARMLESS.contains(&name.as_str())
}

/// `DBClusterIdentifier` as `dBClusterIdentifier`.
fn in_camel_case(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// A text; of a URL the query, which may hold a signature, is hidden.
fn shown(text: String) -> String {
    let text = match text.split_once('?') {
        Some((place, _)) if text.contains("://") => format!("{place}?{HIDDEN}"),
        _ => text,
    };
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        let told = masked(json!({
            "Action": "CreateDBCluster",
            "DBClusterIdentifier": "c",
            "MasterUserPassword": "hunter2",
            "ManageMasterUserPassword": true,
            "PreSignedUrl": "https://rds.us-east-1.amazonaws.com/?Action=x&X-Amz-Signature=abc",
            "Tags": [{"Key": "k", "Value": "v"}],
            "Plaintext": "c2VjcmV0",
            "GrantTokens": ["t"],
            "NextToken": "n",
            "Nested": {"ClientSecret": {"a": "b"}},
        }));
        assert_eq!(
            told,
            json!({
                "dBClusterIdentifier": "c",
                "masterUserPassword": "****",
                "manageMasterUserPassword": true,
                "preSignedUrl": "https://rds.us-east-1.amazonaws.com/?****",
                "tags": [{"key": "k", "value": "v"}],
                "plaintext": "****",
                "grantTokens": "****",
                "nextToken": "n",
                "nested": {"clientSecret": "****"},
            })
        );
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = "é".repeat(TEXT_CHARS_MAX + 1);
        let Value::String(told) = masked(Value::from(long)) else {
            panic!("a text stays a text");
        };
        assert_eq!(told.chars().count(), TEXT_CHARS_MAX + 1);
        let many = Value::from(vec![1; ITEMS_MAX + 1]);
        assert_eq!(masked(many).as_array().map(Vec::len), Some(ITEMS_MAX));
    }
}
