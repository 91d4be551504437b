//! Which extensions the master user makes though PostgreSQL keeps them for superusers, and what of
//! them it may run.
//!
//! A control file that says `trusted` lets whoever may create in a database make the extension; its
//! script runs as the administrator. It does not know where such files lie.
//!
//! Rule for this list: nothing that reads or writes files, runs programs, or takes forged pages and
//! pointers for true. `docs/reference/compatibility.md` tells users what is left out, and why.
use super::rights::RDS_SUPERUSER;

/// One extension of the list.
struct Allowed {
    name: &'static str,
    /// Whether `rds_superuser` may run what its scripts take from everybody.
    granted: bool,
    /// What is added to the script that has this text.
    added: &'static [(&'static str, &'static str)],
}

const fn plain(name: &'static str) -> Allowed {
    Allowed {
        name,
        granted: false,
        added: &[],
    }
}

const fn granted(name: &'static str) -> Allowed {
    Allowed {
        granted: true,
        ..plain(name)
    }
}

const fn added(name: &'static str, added: &'static [(&'static str, &'static str)]) -> Allowed {
    Allowed {
        added,
        ..plain(name)
    }
}

static ALLOWED: &[Allowed] = &[
    granted("amcheck"),
    plain("autoinc"),
    plain("bloom"),
    // Its functions refuse who is no superuser a connection that asks for no password.
    added(
        "dblink",
        &[(
            "CREATE FOREIGN DATA WRAPPER dblink_fdw",
            "GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO rds_superuser WITH GRANT OPTION;",
        )],
    ),
    plain("dict_xsyn"),
    plain("earthdistance"),
    plain("insert_username"),
    plain("intagg"),
    plain("moddatetime"),
    plain("old_snapshot"),
    // Its functions refuse whoever is no superuser by themselves, and stay so.
    plain("pageinspect"),
    plain("pg_buffercache"),
    plain("pg_freespacemap"),
    // A worker that would write files of its own beside the cluster's.
    added(
        "pg_prewarm",
        &[
            (
                "autoprewarm_start_worker()",
                "REVOKE ALL ON FUNCTION autoprewarm_start_worker() FROM PUBLIC;",
            ),
            (
                "autoprewarm_dump_now()",
                "REVOKE ALL ON FUNCTION autoprewarm_dump_now() FROM PUBLIC;",
            ),
        ],
    ),
    granted("pg_stat_statements"),
    // What it takes from everybody it gives to pg_stat_scan_tables, but the one that truncates.
    plain("pg_visibility"),
    granted("pg_walinspect"),
    plain("pgrowlocks"),
    plain("pgstattuple"),
    added(
        "postgres_fdw",
        &[(
            "CREATE FOREIGN DATA WRAPPER postgres_fdw",
            "GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO rds_superuser WITH GRANT OPTION;",
        )],
    ),
    plain("refint"),
    plain("sslinfo"),
    plain("xml2"),
];

/// Libraries that every server loads at its start, where they are installed.
pub(super) const PRELOADED: [&str; 2] = ["pg_stat_statements", "auto_explain"];

/// What a file of an extension has to say instead of `text`; none when it stays as it is.
pub(super) fn rewritten(file: &str, text: &str) -> Option<String> {
    let (stem, is_control) = match (file.strip_suffix(".control"), file.strip_suffix(".sql")) {
        (Some(stem), _) => (stem, true),
        (None, Some(stem)) => (stem, false),
        (None, None) => return None,
    };
    let name = stem.split("--").next().unwrap_or(stem);
    let allowed = ALLOWED.iter().find(|allowed| allowed.name == name)?;
    let more = match is_control {
        // Of several such lines the last one counts.
        true if stem == name => vec!["trusted = true".to_owned()],
        true => Vec::new(),
        false => grants(allowed, text),
    };
    match more.is_empty() {
        true => None,
        false => Some(format!("{}\n{}\n", text.trim_end(), more.join("\n"))),
    }
}

/// Statements to add to a script. They are part of the extension then, and of no dump.
fn grants(allowed: &Allowed, script: &str) -> Vec<String> {
    let mut more: Vec<String> = Vec::new();
    if allowed.granted {
        let taken = functions_taken_from_public(script);
        more.extend(
            taken.iter().map(|function| {
                format!("GRANT EXECUTE ON FUNCTION {function} TO {RDS_SUPERUSER};")
            }),
        );
    }
    let added = allowed.added.iter();
    more.extend(
        added
            .filter(|(having, _)| script.contains(having))
            .map(|(_, statement)| (*statement).to_owned()),
    );
    more
}

/// The functions, with their arguments' types, of `REVOKE … ON FUNCTION f(…) FROM PUBLIC;`.
fn functions_taken_from_public(script: &str) -> Vec<String> {
    let code: Vec<&str> = script
        .lines()
        .filter(|line| !line.trim_start().starts_with(['-', '\\']))
        .collect();
    code.join("\n")
        .split(';')
        .filter_map(|statement| {
            let words: Vec<&str> = statement.split_whitespace().collect();
            let statement = words.join(" ");
            let rest = ["REVOKE ALL ON FUNCTION ", "REVOKE EXECUTE ON FUNCTION "]
                .iter()
                .find_map(|verb| statement.strip_prefix(verb))?;
            Some(rest.strip_suffix(" FROM PUBLIC")?.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_extensions_are_trusted_and_others_stay() {
        let control = "superuser = true\ntrusted = false\n";
        let expected = "superuser = true\ntrusted = false\ntrusted = true\n";
        assert_eq!(
            rewritten("amcheck.control", control).as_deref(),
            Some(expected)
        );
        for file in [
            "adminpack.control",
            "file_fdw.control",
            "pg_surgery.control",
            "plpython3u.control",
            "plperlu.control",
            "postgis.control",
            "amcheck--1.3.control",
            "amcheck.txt",
            "amcheckx--1.0.sql",
        ] {
            assert_eq!(rewritten(file, control), None, "{file}");
        }
    }

    #[test]
    fn what_is_taken_from_everybody_is_given_to_rds_superuser() {
        let script = "\\echo Use it. \\quit\n-- REVOKE ALL ON FUNCTION no() FROM PUBLIC;\n\
                      REVOKE ALL ON FUNCTION verify_heapam(regclass,\n  boolean)\nFROM PUBLIC;\n\
                      REVOKE EXECUTE ON FUNCTION f() FROM pg_read_all_stats;";
        let text = rewritten("amcheck--1.2--1.3.sql", script).expect("rewritten");
        assert!(text.starts_with(script), "{text}");
        let added = text.trim_start_matches(script).trim();
        assert_eq!(
            added,
            "GRANT EXECUTE ON FUNCTION verify_heapam(regclass, boolean) TO rds_superuser;"
        );
        assert_eq!(rewritten("pg_visibility--1.1.sql", script), None);
        assert_eq!(rewritten("dblink--1.2.sql", script), None);
    }
}
