//! What a new cluster's engine is given by its user: the master user's name and password, and the
//! first database's name.
//!
//! Sources: API_CreateDBCluster and API_CreateDBInstance (RDS for PostgreSQL), "Quotas and
//! constraints for Amazon Aurora", and appendix C of PostgreSQL's manual for its reserved words.
use model::limits::ECHO_CHARS_MAX;

use service::fault::Fault;

/// PostgreSQL's names have at most so many bytes; RDS takes that many for this engine.
const NAME_BYTES_MAX: usize = 63;
/// How long a master password may be.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=41;
/// The prefix of PostgreSQL's own roles.
const ENGINE_PREFIX: &str = "pg_";

/// Words that name neither a user nor a database: those that PostgreSQL reserves, those that
/// Amazon keeps for itself, and `admin`, which it refuses for this engine.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "admin", "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization",
    "binary", "both", "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint",
    "create", "cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except",
    "false", "fetch", "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike", "in",
    "initially", "inner", "intersect", "into", "is", "isnull", "join", "lateral", "leading", "left", "like", "limit",
    "localtime", "localtimestamp", "natural", "not", "notnull", "null", "offset", "on", "only", "or", "order",
    "outer", "overlaps", "placing", "primary", "rdsadmin", "references", "returning", "right", "select",
    "session_user", "similar", "some", "symmetric", "table", "tablesample", "then", "to", "trailing", "true", "union",
    "unique", "user", "using", "variadic", "verbose", "when", "where", "window", "with",
];
/// Names that PostgreSQL gives to no role.
const NO_ROLES: [&str; 2] = ["none", "public"];
/// Databases that every cluster has and that are nobody's.
const TEMPLATES: [&str; 2] = ["template0", "template1"];

fn reserved(lower: &str) -> bool {
    RESERVED.binary_search(&lower).is_ok()
}

/// A letter, then letters, digits and underscores.
fn well_formed(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn echo(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

/// A parameter that must be there.
pub(crate) fn required<'a>(parameter: &str, value: Option<&'a str>) -> Result<&'a str, Fault> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| {
        Fault::value(format!(
            "The parameter {parameter} must be provided and must not be blank."
        ))
    })
}

/// `MasterUsername`.
pub(crate) fn master_username(given: Option<&str>) -> Result<String, Fault> {
    let name = required("MasterUsername", given)?;
    if !well_formed(name) {
        return Err(Fault::value(format!(
            "MasterUsername {} is not valid. It must begin with a letter and contain only 1 to {NAME_BYTES_MAX} \
             letters, digits or underscores.",
            echo(name)
        )));
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with(ENGINE_PREFIX) {
        return Err(Fault::value(format!(
            "MasterUsername {name} cannot be used because role names starting with \"{ENGINE_PREFIX}\" are \
             reserved by the PostgreSQL engine"
        )));
    }
    if reserved(&lower) || NO_ROLES.contains(&lower.as_str()) {
        return Err(Fault::value(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    Ok(name.to_owned())
}

/// `DatabaseName`.
pub(crate) fn database_name(given: &str) -> Result<String, Fault> {
    if !well_formed(given) {
        return Err(Fault::value(format!(
            "DatabaseName must begin with a letter and contain only alphanumeric characters or underscores, \
             {NAME_BYTES_MAX} at most: not {}.",
            echo(given)
        )));
    }
    let lower = given.to_ascii_lowercase();
    if reserved(&lower) || TEMPLATES.contains(&lower.as_str()) {
        return Err(Fault::value(format!(
            "DatabaseName {given} cannot be used. It is a reserved word for this engine"
        )));
    }
    Ok(given.to_owned())
}

/// `MasterUserPassword`. The password is in no text that is answered.
pub(crate) fn master_password(given: Option<&str>) -> Result<&str, Fault> {
    let password = required("MasterUserPassword", given)?;
    let refused = |why: String| {
        Fault::value(format!(
            "The parameter MasterUserPassword is not a valid password{why}"
        ))
    };
    let chars = password.chars().count();
    let (least, most) = (PASSWORD_CHARS.start(), PASSWORD_CHARS.end());
    if chars < *least {
        return Err(refused(format!(
            " because it is shorter than {least} characters."
        )));
    }
    if *most < chars {
        return Err(refused(format!(
            " because it is longer than {most} characters."
        )));
    }
    let legal = |c: char| c.is_ascii() && !c.is_ascii_control() && !"/\"@ ".contains(c);
    if !password.chars().all(legal) {
        return Err(refused(
            ". Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.".to_owned(),
        ));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_engine() {
        assert!(RESERVED.is_sorted());
        let longest = "u".repeat(63);
        for good in ["postgres", "ferryman", "a", "Ordering", "a_1", &longest] {
            assert_eq!(master_username(Some(good)).as_deref(), Ok(good));
            assert_eq!(database_name(good).as_deref(), Ok(good));
        }
        let long = "u".repeat(64);
        for bad in [
            "1a", "_a", "a-b", "a b", "é", "admin", "Admin", "USER", "order", "rdsadmin", &long,
        ] {
            assert!(master_username(Some(bad)).is_err(), "{bad}");
            assert!(database_name(bad).is_err(), "{bad}");
        }
        for bad in ["pg_x", "PG_x", "public", "none", ""] {
            assert!(master_username(Some(bad)).is_err(), "{bad}");
        }
        assert!(database_name("template1").is_err() && database_name("").is_err());
        assert!(database_name("public").is_ok() && database_name("pg_x").is_ok());
    }

    #[test]
    fn passwords_are_refused_in_amazons_words() {
        let said = |text: &str| {
            let refused = master_password(Some(text));
            refused.expect_err("bad").message.into_owned()
        };
        assert!(master_password(Some("12345678")).is_ok());
        assert!(master_password(Some(&"x".repeat(41))).is_ok());
        assert_eq!(
            said("1234567"),
            "The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters."
        );
        assert!(said(&"x".repeat(42)).ends_with("longer than 41 characters."));
        for bad in [
            "with/slash",
            "with space",
            "with@at.",
            "with\"quote",
            "wïth-other",
        ] {
            assert!(said(bad).contains("besides '/', '@', '\"', ' ' may be used."));
        }
    }
}
