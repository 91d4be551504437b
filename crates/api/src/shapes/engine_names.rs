//! What a new cluster's engine is given by its user: the master user's name and password, and the
//! first database's name.
//!
//! What is refused is the engine's to say. Sources: API_CreateDBCluster and API_CreateDBInstance.
use engine::Profile;
use model::limits::echo;

use service::fault::Fault;

/// A parameter that must be there.
pub(crate) fn required<'a>(parameter: &str, value: Option<&'a str>) -> Result<&'a str, Fault> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| {
        Fault::value(format!(
            "The parameter {parameter} must be provided and must not be blank."
        ))
    })
}

/// `MasterUsername`.
pub(crate) fn master_username(profile: &Profile, given: Option<&str>) -> Result<String, Fault> {
    let (name, rules) = (required("MasterUsername", given)?, &profile.user_names);
    if !rules.is_well_formed(name) {
        return Err(Fault::value(format!(
            "MasterUsername {} is not valid. It must begin with a letter and contain only 1 to {} \
             letters, digits or underscores.",
            echo(name),
            rules.bytes_max
        )));
    }
    if let Some(prefix) = rules.prefix_of(name) {
        return Err(Fault::value(format!(
            "MasterUsername {name} cannot be used because role names starting with \"{prefix}\" are \
             reserved by the {} engine",
            profile.title
        )));
    }
    if rules.is_reserved(name) {
        return Err(Fault::value(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    Ok(name.to_owned())
}

/// `DatabaseName`.
pub(crate) fn database_name(profile: &Profile, given: &str) -> Result<String, Fault> {
    let rules = &profile.database_names;
    if !rules.is_well_formed(given) {
        return Err(Fault::value(format!(
            "DatabaseName must begin with a letter and contain only alphanumeric characters or underscores, \
             {} at most: not {}.",
            rules.bytes_max,
            echo(given)
        )));
    }
    if rules.is_reserved(given) || rules.prefix_of(given).is_some() {
        return Err(Fault::value(format!(
            "DatabaseName {given} cannot be used. It is a reserved word for this engine"
        )));
    }
    Ok(given.to_owned())
}

/// `MasterUserPassword`. The password is in no text that is answered.
pub(crate) fn master_password<'a>(
    profile: &Profile,
    given: Option<&'a str>,
) -> Result<&'a str, Fault> {
    let password = required("MasterUserPassword", given)?;
    let refused = |why: String| {
        Fault::value(format!(
            "The parameter MasterUserPassword is not a valid password{why}"
        ))
    };
    let chars = password.chars().count();
    let (least, most) = (profile.password_chars.start(), profile.password_chars.end());
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

    fn aurora() -> &'static Profile {
        engine::profile("aurora-postgresql").expect("it is there")
    }

    #[test]
    fn names_are_those_of_the_engine() {
        let longest = "u".repeat(63);
        for good in ["postgres", "ferryman", "a", "Ordering", "a_1", &longest] {
            assert_eq!(master_username(aurora(), Some(good)).as_deref(), Ok(good));
            assert_eq!(database_name(aurora(), good).as_deref(), Ok(good));
        }
        let long = "u".repeat(64);
        for bad in [
            "1a", "_a", "a-b", "a b", "é", "admin", "Admin", "USER", "order", "rdsadmin", &long,
        ] {
            assert!(master_username(aurora(), Some(bad)).is_err(), "{bad}");
            assert!(database_name(aurora(), bad).is_err(), "{bad}");
        }
        for bad in ["pg_x", "PG_x", "public", "none", ""] {
            assert!(master_username(aurora(), Some(bad)).is_err(), "{bad}");
        }
        assert!(
            database_name(aurora(), "template1").is_err() && database_name(aurora(), "").is_err()
        );
        assert!(
            database_name(aurora(), "public").is_ok() && database_name(aurora(), "pg_x").is_ok()
        );
    }

    #[test]
    fn passwords_are_refused_in_amazons_words() {
        let said = |text: &str| {
            let refused = master_password(aurora(), Some(text));
            refused.expect_err("bad").message.into_owned()
        };
        assert!(master_password(aurora(), Some("12345678")).is_ok());
        assert!(master_password(aurora(), Some(&"x".repeat(41))).is_ok());
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
