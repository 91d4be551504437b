use super::*;

fn of(name: &str, value: &str) -> Result<Vec<WantedCheck>, String> {
    read(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
}

#[test]
fn checks_read_as_they_are_written() {
    let text = r#"[{"name": "orders", "database": "shop", "sql": "select 1 from orders", "seconds": 5},
        {"name": "sum", "sql": "select sum(n) from t", "expect": {"min": 1, "max": 9.5}}]"#;
    let all = of("Snapferry:Checks", text).expect("they read");
    assert_eq!((all[0].seconds, all[1].seconds), (5, 60));
    assert_eq!(all[0].database.as_deref(), Some("shop"));
    assert_eq!(
        all[1].asked(),
        "select sum(n) from t -- a value from 1 to 9.5"
    );
    let all = of(
        BUILTIN,
        "amcheck, checksums,newest-row:shop/s.orders.at<=2h",
    )
    .expect("they read");
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        ["amcheck", "checksums", "newest-row:shop/s.orders.at"]
    );
    let wanted = Subject::NewestRow {
        table: vec!["s".to_owned(), "orders".to_owned()],
        column: "at".to_owned(),
        age_max_secs: 7_200,
    };
    assert_eq!(
        (all[2].database.as_deref(), &all[2].subject),
        (Some("shop"), &wanted)
    );
    assert_eq!(of("other", "x"), Ok(Vec::new()));
}

#[test]
fn what_is_wrong_is_told() {
    let wrong = [
        (CHECKS, "[{}]", "missing field"),
        (CHECKS, r#"[{"name": "a/b", "sql": "x"}]"#, "letters"),
        (CHECKS, r#"[{"name": "a", "sql": " "}]"#, "the check a: sql"),
        (
            CHECKS,
            r#"[{"name": "a", "sql": "x", "seconds": 0}]"#,
            "seconds",
        ),
        (
            CHECKS,
            r#"[{"name": "a", "sql": "x", "expect": "some"}]"#,
            "expect is",
        ),
        (
            CHECKS,
            r#"[{"name": "a", "sql": "x", "expect": {"min": 1, "rows": 2}}]"#,
            "expect is",
        ),
        (
            CHECKS,
            r#"[{"name": "a", "sql": "x"}, {"name": "a", "sql": "y"}]"#,
            "the name a",
        ),
        (
            CHECKS,
            r#"[{"name": "a", "sql": "x", "extra": 1}]"#,
            "unknown field",
        ),
        (BUILTIN, "fsck", "there are amcheck"),
        (BUILTIN, "newest-row:orders<=1h", "there are amcheck"),
        (BUILTIN, "newest-row:orders.at<=1w", "there are amcheck"),
        (ROWS_MIN, "many", "a number of rows"),
        ("snapferry:other", "1", "there is no"),
    ];
    for (name, value, told) in wrong {
        let error = of(name, value).expect_err(value);
        assert!(error.contains(told), "{value}: {error}");
    }
    let one = r#"{"name": "NAME", "sql": "x"}"#;
    let many: Vec<String> = (0..21)
        .map(|at| one.replace("NAME", &at.to_string()))
        .collect();
    assert!(of(CHECKS, &format!("[{}]", many.join(","))).is_err());
}

#[test]
fn what_checks_say_is_bounded() {
    let check = |more: &str| format!(r#"[{{"name": "a", "sql": "x", {more}}}]"#);
    let long = |count: usize| "v".repeat(count);
    for (more, told) in [
        (r#""database": """#.to_owned(), "database"),
        (format!(r#""database": "{}""#, long(64)), "database"),
        (r#""database": "a\u0000b""#.to_owned(), "database"),
        (
            format!(r#""expect": {{"value": "{}"}}"#, long(1_025)),
            "expect's value",
        ),
    ] {
        let error = of(CHECKS, &check(&more)).expect_err("it is too long");
        assert!(error.contains(told), "{error}");
    }
    let edge = format!(
        r#""database": "{}", "expect": {{"value": "{}"}}"#,
        long(63),
        long(1_024)
    );
    assert!(of(CHECKS, &check(&edge)).is_ok());
    let newest = format!("newest-row:{}/orders.at<=1h", long(64));
    assert!(of(BUILTIN, &newest).is_err());
    let large = |count: usize| {
        let all: Vec<String> = (0..count)
            .map(|at| format!(r#"{{"name": "{at}", "sql": "{}"}}"#, long(8_000)))
            .collect();
        of(CHECKS, &format!("[{}]", all.join(",")))
    };
    assert!(large(4).is_ok());
    assert!(large(5).expect_err("together").contains("together"));
}

#[test]
fn answers_are_judged() {
    let passes = |text: &str, rows, first| {
        let value: Value = serde_json::from_str(text).expect("JSON");
        Expect::read(Some(&value))
            .expect("reads")
            .judge(rows, first)
            .0
    };
    assert!(passes(r#""nonempty""#, 1, None) && !passes(r#""nonempty""#, 0, None));
    assert!(passes(r#""empty""#, 0, None) && !passes(r#""empty""#, 1, Some("x")));
    assert!(passes(r#"{"rows": 2}"#, 2, None) && !passes(r#"{"rows": 2}"#, 3, None));
    assert!(passes("100", 1, Some("100")) && passes(r#"{"value": "100.0"}"#, 1, Some("100")));
    assert!(passes("true", 1, Some("t")) && !passes("true", 1, Some("f")));
    assert!(!passes(r#"{"value": "a"}"#, 1, None) && passes(r#"{"value": "a"}"#, 1, Some("a")));
    let bounds = r#"{"min": 1, "max": 2}"#;
    assert!(passes(bounds, 1, Some("1.5")) && !passes(bounds, 1, Some("2.5")));
    assert!(!passes(bounds, 1, Some("x")) && !passes(bounds, 0, None));
    assert!(passes(r#"{"min": 1}"#, 1, Some("9")) && !passes(r#"{"min": 1}"#, 1, Some("0")));
    let (_, found) = Expect::Rows(2).judge(1, Some("x"));
    assert_eq!(found, "1 row; expected: 2 rows");
}
