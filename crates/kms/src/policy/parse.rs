//! A policy document's JSON, read strictly: a member that is unknown or given twice is refused.
//!
//! It does not know what the statements mean.
use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::{
    condition::Condition,
    pattern::Pattern,
    statement::{Effect, Listed, Principal, Statement},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DocumentJson {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: Many<StatementJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StatementJson {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: String,
    principal: Option<PrincipalJson>,
    not_principal: Option<PrincipalJson>,
    action: Option<Many<String>>,
    not_action: Option<Many<String>>,
    resource: Option<Many<String>>,
    not_resource: Option<Many<String>>,
    #[serde(default)]
    condition: Members<Members<Many<Scalar>>>,
}

enum PrincipalJson {
    Everyone,
    Named(Members<Many<String>>),
}

/// One value, or a list of at least one.
struct Many<T>(Vec<T>);

/// An object whose members are unlike each other.
struct Members<T>(BTreeMap<String, T>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// A condition's value: a text, a boolean or a whole number, as text.
struct Scalar(String);

/// Reads the statements.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>, String> {
    let document: DocumentJson = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(version) = document.version
        && version != "2012-10-17"
        && version != "2008-10-17"
    {
        return Err("Version is neither \"2012-10-17\" nor \"2008-10-17\"".to_owned());
    }
    let read = document.statement.0.into_iter().map(statement);
    read.filter_map(Result::transpose).collect()
}

/// Reads a statement; none when it has no effect, for it lacks a resource or an action.
fn statement(json: StatementJson) -> Result<Option<Statement>, String> {
    let effect = match json.effect.as_str() {
        "Allow" => Effect::Allow,
        "Deny" => Effect::Deny,
        _ => return Err("Effect is neither \"Allow\" nor \"Deny\"".to_owned()),
    };
    let principals = listed("Principal", json.principal, json.not_principal, principals)?
        .ok_or("a statement lacks its Principal")?;
    if effect == Effect::Allow && matches!(principals, Listed::AllBut(_)) {
        return Err("NotPrincipal is possible with \"Deny\" only".to_owned());
    }
    let each = |read: fn(&str) -> Result<Pattern, String>| {
        move |texts: Many<String>| texts.0.iter().map(|text| read(text)).collect()
    };
    let actions = listed("Action", json.action, json.not_action, each(action))?;
    let resources = listed("Resource", json.resource, json.not_resource, each(resource))?;
    let conditions = json.condition.0.into_iter().flat_map(|(operator, keys)| {
        keys.0.into_iter().map(move |(key, values)| {
            let values = values.0.into_iter().map(|value| value.0).collect();
            Condition::new(&operator, &key, values)
        })
    });
    Ok(actions
        .zip(resources)
        .map(|(actions, resources)| Statement {
            effect,
            principals,
            actions,
            resources,
            conditions: conditions.collect(),
        }))
}

/// A member, or the one that says all but it; none when neither is given.
fn listed<J, T>(
    name: &str,
    these: Option<J>,
    all_but: Option<J>,
    read: impl FnOnce(J) -> Result<Vec<T>, String>,
) -> Result<Option<Listed<T>>, String> {
    match (these, all_but) {
        (Some(_), Some(_)) => Err(format!("a statement has both {name} and Not{name}")),
        (Some(json), None) => read(json).map(Listed::These).map(Some),
        (None, Some(json)) => read(json).map(Listed::AllBut).map(Some),
        (None, None) => Ok(None),
    }
}

fn action(text: &str) -> Result<Pattern, String> {
    let legal = text == "*"
        || text.split_once(':').is_some_and(|(service, name)| {
            !service.is_empty()
                && !name.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'*' | b'?' | b'-'))
        });
    if legal {
        Ok(Pattern::new(&text.to_ascii_lowercase()))
    } else {
        Err("an Action is neither \"*\" nor of the form \"service:name\"".to_owned())
    }
}

fn resource(text: &str) -> Result<Pattern, String> {
    if text == "*" || text.starts_with("arn:") {
        Ok(Pattern::new(text))
    } else {
        Err("a Resource is neither \"*\" nor an ARN".to_owned())
    }
}

fn principals(json: PrincipalJson) -> Result<Vec<Principal>, String> {
    let members = match json {
        PrincipalJson::Everyone => return Ok(vec![Principal::Everyone]),
        PrincipalJson::Named(members) => members.0,
    };
    if members.is_empty() {
        return Err("Principal names nobody".to_owned());
    }
    let mut principals = Vec::new();
    for (kind, names) in members {
        match kind.as_str() {
            "AWS" => {
                for name in &names.0 {
                    principals.push(principal(name)?);
                }
            }
            "Service" | "Federated" | "CanonicalUser" => principals.push(Principal::Stranger),
            _ => return Err("Principal has a member that principals do not have".to_owned()),
        }
    }
    Ok(principals)
}

/// An account id, `*`, or the ARN of an account's root, user, role or session. Wildcards within
/// an ARN are not allowed here, as in IAM.
pub(super) fn principal(text: &str) -> Result<Principal, String> {
    let wrong = || "a Principal is neither \"*\", nor an account, nor an ARN of one".to_owned();
    if text == "*" {
        return Ok(Principal::Everyone);
    }
    if let Ok(account) = text.parse() {
        return Ok(Principal::Account {
            account,
            partition: None,
            whole: true,
        });
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", partition, service, "", account, resource] = parts.as_slice() else {
        return Err(wrong());
    };
    let known = matches!(partition, "aws" | "aws-cn" | "aws-us-gov")
        && match service {
            "iam" => {
                resource == "root"
                    || ["user/", "role/", "federated-user/"]
                        .iter()
                        .any(|kind| is_under(resource, kind))
            }
            "sts" => ["assumed-role/", "federated-user/"]
                .iter()
                .any(|kind| is_under(resource, kind)),
            _ => false,
        };
    match account.parse() {
        Ok(account) if known && !resource.contains(['*', '?', '$']) => Ok(Principal::Account {
            account,
            partition: Some(partition.to_owned()),
            whole: resource == "root",
        }),
        _ => Err(wrong()),
    }
}

fn is_under(resource: &str, kind: &str) -> bool {
    resource
        .strip_prefix(kind)
        .is_some_and(|name| !name.is_empty())
}

impl<'de> Deserialize<'de> for PrincipalJson {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = PrincipalJson;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"*\" or an object")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<PrincipalJson, E> {
                match text {
                    "*" => Ok(PrincipalJson::Everyone),
                    _ => Err(E::custom("a Principal that is a text must be \"*\"")),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PrincipalJson, A::Error> {
                read_members(map).map(PrincipalJson::Named)
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a boolean or a whole number")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        from.deserialize_any(Text)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Members<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Members<T>, A::Error> {
                read_members(map)
            }
        }
        from.deserialize_map(Object(PhantomData))
    }
}

fn read_members<'de, T, A>(mut map: A) -> Result<Members<T>, A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
{
    let mut members = BTreeMap::new();
    while let Some((name, value)) = map.next_entry::<String, T>()? {
        if members.insert(name, value).is_some() {
            return Err(A::Error::custom("a member is given twice"));
        }
    }
    Ok(Members(members))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrList<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> OneOrList<T> {
            fn one<E: Error>(value: impl Deserializer<'de, Error = E>) -> Result<Many<T>, E> {
                T::deserialize(value).map(|value| Many(vec![value]))
            }
        }
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrList<T> {
            type Value = Many<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Many<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(A::Error::custom("a list is empty"));
                }
                Ok(Many(values))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
                Self::one(serde::de::value::MapAccessDeserializer::new(map))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Many<T>, E> {
                Self::one(serde::de::value::StrDeserializer::new(text))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Many<T>, E> {
                Self::one(serde::de::value::BoolDeserializer::new(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Many<T>, E> {
                Self::one(serde::de::value::U64Deserializer::new(value))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Many<T>, E> {
                Self::one(serde::de::value::I64Deserializer::new(value))
            }
        }
        from.deserialize_any(OneOrList(PhantomData))
    }
}
