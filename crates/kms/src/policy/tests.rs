use serde_json::{Value, json};

use model::Arn;

use super::*;

const OWNER: &str = "111122223333";
const OTHER: &str = "444455556666";

fn policy(statements: Value) -> Policy {
    let document = json!({"Version": "2012-10-17", "Statement": statements});
    Policy::parse(&document.to_string()).expect("a good policy")
}

fn asks_with(policy: &Policy, account: &str, action: &str, conditions: &Conditions) -> bool {
    let region: Region = "us-east-1".parse().expect("legal");
    let owner: Account = OWNER.parse().expect("legal");
    policy.allows(&Request {
        principal_account: &account.parse().expect("legal"),
        action,
        key_arn: &Arn::kms(&region, &owner, "key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        conditions,
    })
}

fn asks(policy: &Policy, account: &str, action: &str) -> bool {
    asks_with(policy, account, action, &Conditions::default())
}

fn refused(text: &str) {
    assert!(
        matches!(Policy::parse(text), Err(PolicyError::Malformed(_))),
        "{text}"
    );
}

fn allow(principal: Value, action: Value) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"})
}

#[test]
fn the_default_policy_is_for_its_account_only() {
    let region: Region = "us-east-1".parse().expect("legal");
    let text = default_policy(&region, &OWNER.parse().expect("legal"));
    let policy = Policy::parse(&text).expect("a good policy");
    assert!(asks(&policy, OWNER, "kms:Decrypt"));
    assert!(asks(&policy, OWNER, "kms:PutKeyPolicy"));
    assert!(!asks(&policy, OTHER, "kms:DescribeKey"));
    let region: Region = "cn-north-1".parse().expect("legal");
    assert!(default_policy(&region, &OWNER.parse().expect("legal")).contains("arn:aws-cn:iam::"));
}

#[test]
fn the_service_policy_lets_its_account_use_the_key_through_rds() {
    let region: Region = "us-east-1".parse().expect("legal");
    let text = service_policy("rds", "RDS", &region, &OWNER.parse().expect("legal"));
    let policy = Policy::parse(&text).expect("a good policy");
    let via = Conditions {
        via_service: Some("rds.us-east-1.amazonaws.com".to_owned()),
        ..Conditions::default()
    };
    assert!(asks_with(&policy, OWNER, "kms:Decrypt", &via));
    assert!(!asks_with(&policy, OTHER, "kms:Decrypt", &via));
    assert!(!asks(&policy, OWNER, "kms:Decrypt"));
    assert!(asks(&policy, OWNER, "kms:DescribeKey"));
    assert!(!asks(&policy, OTHER, "kms:DescribeKey"));
}

/// The statements of "Allowing access to an AWS KMS key", Aurora User Guide.
#[test]
fn the_documented_cross_account_statements_work() {
    let root = json!({"AWS": [format!("arn:aws:iam::{OTHER}:root"), format!("arn:aws:iam::{OTHER}:user/KeyUser")]});
    let policy = policy(json!([
        {"Sid": "Allow use of the key", "Effect": "Allow", "Principal": root, "Action": [
            "kms:CreateGrant", "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*",
            "kms:GenerateDataKey*", "kms:DescribeKey"], "Resource": "*"},
        {"Sid": "Allow attachment of persistent resources", "Effect": "Allow", "Principal": root,
         "Action": ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"], "Resource": "*",
         "Condition": {"Bool": {"kms:GrantIsForAWSResource": true}}}
    ]));
    for action in [
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:ReEncryptFrom",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:DescribeKey",
    ] {
        assert!(asks(&policy, OTHER, action), "{action}");
        assert!(!asks(&policy, OWNER, action), "{action}");
    }
    assert!(!asks(&policy, OTHER, "kms:PutKeyPolicy"));
    assert!(!asks(&policy, OTHER, "kms:ListGrants"));
    let granting = Conditions {
        grant_is_for_aws_resource: Some(true),
        ..Conditions::default()
    };
    assert!(asks_with(&policy, OTHER, "kms:ListGrants", &granting));
}

#[test]
fn principals_are_accounts_or_everyone() {
    for everyone in [
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": [OTHER, "*"]}),
    ] {
        let policy = policy(json!(allow(everyone, json!("kms:*"))));
        assert!(asks(&policy, OTHER, "kms:Decrypt"));
        assert!(asks(&policy, OWNER, "kms:Decrypt"));
    }
    for account in [
        OTHER,
        "arn:aws:iam::444455556666:root",
        "arn:aws:iam::444455556666:role/path/Admin",
        "arn:aws:sts::444455556666:assumed-role/Admin/session",
    ] {
        let policy = policy(allow(json!({"AWS": account}), json!("*")));
        assert!(asks(&policy, OTHER, "kms:Decrypt"), "{account}");
        assert!(!asks(&policy, OWNER, "kms:Decrypt"), "{account}");
    }
    for stranger in [
        json!({"Service": "rds.amazonaws.com"}),
        json!({"AWS": "arn:aws-cn:iam::444455556666:root"}),
    ] {
        let policy = policy(allow(stranger, json!("kms:*")));
        assert!(!asks(&policy, OTHER, "kms:Decrypt"));
    }
}

#[test]
fn actions_ignore_case_and_know_wildcards() {
    let policy = policy(allow(
        json!("*"),
        json!(["KMS:decrypt", "kms:Generate*Key", "kms:List?rants", "s3:*"]),
    ));
    assert!(asks(&policy, OWNER, "kms:Decrypt"));
    assert!(asks(&policy, OWNER, "kms:GenerateDataKey"));
    assert!(asks(&policy, OWNER, "kms:ListGrants"));
    assert!(!asks(&policy, OWNER, "kms:GenerateDataKeyPair"));
    assert!(!asks(&policy, OWNER, "kms:Encrypt"));
}

#[test]
fn resources_name_the_key() {
    let with = |resource: &str| {
        policy(
            json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": resource}),
        )
    };
    let key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    assert!(asks(&with(key), OWNER, "kms:Decrypt"));
    assert!(asks(
        &with("arn:aws:kms:*:111122223333:key/*"),
        OWNER,
        "kms:Decrypt"
    ));
    assert!(!asks(
        &with("arn:aws:kms:*:444455556666:key/*"),
        OWNER,
        "kms:Decrypt"
    ));
    assert!(!asks(
        &with("arn:aws:kms:us-east-1:111122223333:key/${aws:username}"),
        OWNER,
        "kms:Decrypt"
    ));
}

/// CreateKey, KMS API reference: it is taken, "even though the policy statement is ineffective".
#[test]
fn a_statement_without_resource_or_action_has_no_effect() {
    for (effect, missing) in [
        ("Allow", "Resource"),
        ("Allow", "Action"),
        ("Deny", "Resource"),
        ("Deny", "Action"),
    ] {
        let mut idle = allow(json!("*"), json!("kms:*"));
        idle["Effect"] = json!(effect);
        idle.as_object_mut().expect("an object").remove(missing);
        assert!(!asks(&policy(idle.clone()), OWNER, "kms:Decrypt"));
        let owners = allow(json!({"AWS": OWNER}), json!("kms:*"));
        let both = policy(json!([idle, owners]));
        assert!(asks(&both, OWNER, "kms:Decrypt") && !asks(&both, OTHER, "kms:Decrypt"));
    }
    // What is wrong with such a statement is told all the same.
    refused("{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"Decrypt\"}}");
}

#[test]
fn what_is_excepted_is_excepted() {
    let mine = policy(
        json!({"Effect": "Allow", "Principal": "*", "NotAction": ["kms:put*", "kms:Decrypt"],
        "Resource": "*"}),
    );
    assert!(asks(&mine, OTHER, "kms:Encrypt"));
    assert!(!asks(&mine, OTHER, "kms:PutKeyPolicy") && !asks(&mine, OTHER, "kms:Decrypt"));
    let with = |resource: &str| {
        policy(
            json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "NotResource": resource}),
        )
    };
    let other = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000";
    assert!(asks(&with(other), OWNER, "kms:Decrypt"));
    assert!(!asks(&with("arn:aws:kms:*"), OWNER, "kms:Decrypt"));
    assert!(!asks(&with("arn:aws:kms:${aws:x}"), OWNER, "kms:Decrypt"));
}

#[test]
fn all_but_some_principals_can_be_denied_and_never_allowed() {
    let all_but = |principal: Value| {
        policy(json!([
            allow(json!("*"), json!("kms:*")),
            {"Effect": "Deny", "NotPrincipal": principal, "Action": "kms:*", "Resource": "*"}
        ]))
    };
    let spared = all_but(json!({"AWS": [format!("arn:aws:iam::{OTHER}:root")]}));
    assert!(asks(&spared, OTHER, "kms:Decrypt") && !asks(&spared, OWNER, "kms:Decrypt"));
    // One user is not the account, which may be asking by another.
    let user = all_but(json!({"AWS": [format!("arn:aws:iam::{OTHER}:user/one")]}));
    assert!(!asks(&user, OTHER, "kms:Decrypt"));
    let service = all_but(json!({"Service": "rds.amazonaws.com"}));
    assert!(!asks(&service, OWNER, "kms:Decrypt"));
    refused(
        "{\"Statement\":{\"Effect\":\"Allow\",\"NotPrincipal\":{\"AWS\":\"111122223333\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}}",
    );
}

/// Whoever writes the policy and asks pays no more of the processor than anybody.
#[test]
fn a_question_has_a_bounded_price_and_what_is_beyond_it_closes() {
    let question = |values: Value, text: &str| {
        let mut given = Conditions::default();
        given
            .encryption_context
            .insert("x".to_owned(), text.to_owned());
        let condition = json!({"StringLike": {"kms:EncryptionContext:x": values}});
        ["Allow", "Deny"].map(|effect| {
            let policy = conditional(effect, &condition);
            let began = std::time::Instant::now();
            let allowed = asks_with(&policy, OWNER, "kms:Decrypt", &given);
            let took = began.elapsed();
            // A millisecond or two when optimised.
            assert!(took < std::time::Duration::from_millis(200), "{took:?}");
            allowed
        })
    };
    let long = "a".repeat(8_000);
    let starred: Vec<_> = (0..8).map(|_| format!("*{}b", "a".repeat(3_900))).collect();
    assert_eq!(question(json!(starred), &long), [false, true]);
    let hidden: Vec<_> = (0..8)
        .map(|_| format!("*{}?b*", "a".repeat(3_900)))
        .collect();
    assert_eq!(question(json!(hidden), &long), [false, false]);
    let many: Vec<_> = (0..5_000).map(|_| "*b").collect();
    assert_eq!(question(json!(many), &long), [false, true]);
    let many: Vec<_> = (0..5_000).map(|_| "*b*").collect();
    assert_eq!(question(json!(many), &long), [false, false]);
    // What people write is far below it.
    let usual: Vec<_> = (0..100).map(|n| format!("*team-{n}*")).collect();
    assert_eq!(question(json!(usual), "for team-99 only"), [true, false]);
}

#[test]
fn deny_wins() {
    let policy = policy(json!([
        {"Effect": "Deny", "Principal": {"AWS": OTHER}, "Action": "kms:Decrypt", "Resource": "*"},
        {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    ]));
    assert!(asks(&policy, OWNER, "kms:Decrypt"));
    assert!(!asks(&policy, OTHER, "kms:Decrypt"));
    assert!(asks(&policy, OTHER, "kms:Encrypt"));
}

fn conditional(effect: &str, condition: &Value) -> Policy {
    policy(json!([
        {"Effect": effect, "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": condition},
        {"Effect": if effect == "Deny" { "Allow" } else { "Deny" }, "Principal": {"AWS": if effect == "Deny" { "*" } else { OTHER }},
         "Action": "kms:*", "Resource": "*"}
    ]))
}

#[test]
fn what_is_not_understood_closes() {
    for condition in [
        json!({"NumericLessThan": {"kms:CallerAccount": "5"}}),
        json!({"StringEquals": {"aws:SourceIp": "10.0.0.0/8"}}),
        json!({"StringLike": {"kms:ViaService": "${aws:service}"}}),
        json!({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "a"}}),
        json!({"Bool": {"kms:GrantIsForAWSResource": "maybe"}}),
    ] {
        let given = Conditions {
            via_service: Some("${aws:service}".to_owned()),
            grant_is_for_aws_resource: Some(true),
            ..Conditions::default()
        };
        for effect in ["Allow", "Deny"] {
            let policy = conditional(effect, &condition);
            assert!(
                !asks_with(&policy, OWNER, "kms:Decrypt", &given),
                "{effect} {condition}"
            );
        }
    }
    // A condition that plainly fails keeps a Deny from applying whatever else it says.
    let policy = conditional(
        "Deny",
        &json!({"StringEquals": {"kms:CallerAccount": OTHER, "aws:SourceIp": "x"}}),
    );
    assert!(asks(&policy, OWNER, "kms:Decrypt"));
}

#[test]
fn conditions_hold_as_iam_has_it() {
    let mut given = Conditions {
        via_service: Some("rds.us-east-1.amazonaws.com".to_owned()),
        ..Conditions::default()
    };
    given
        .encryption_context
        .insert("aws:rds:dbc-id".to_owned(), "cluster-A*".to_owned());
    for (condition, holds) in [
        (
            json!({"StringEquals": {"kms:ViaService": ["x", "rds.us-east-1.amazonaws.com"]}}),
            true,
        ),
        (
            json!({"StringEquals": {"kms:viaservice": "RDS.us-east-1.amazonaws.com"}}),
            false,
        ),
        (
            json!({"StringEqualsIgnoreCase": {"kms:ViaService": "RDS.us-east-1.amazonaws.com"}}),
            true,
        ),
        (
            json!({"StringLike": {"kms:ViaService": "rds.*.amazonaws.com"}}),
            true,
        ),
        (json!({"StringNotLike": {"kms:ViaService": "rds.*"}}), false),
        (
            json!({"StringNotEquals": {"kms:ViaService": ["a", "b"]}}),
            true,
        ),
        (
            json!({"StringEquals": {"kms:CallerAccount": OWNER, "kms:ViaService": "x"}}),
            false,
        ),
        (
            json!({"StringEquals": {"kms:CallerAccount": OWNER}, "Null": {"kms:ViaService": "false"}}),
            true,
        ),
        (
            json!({"StringEquals": {"kms:EncryptionContext:aws:rds:dbc-id": "cluster-A*"}}),
            true,
        ),
        (
            json!({"StringEquals": {"kms:EncryptionContext:AWS:rds:dbc-id": "cluster-AB"}}),
            false,
        ),
        (
            json!({"StringEquals": {"kms:EncryptionContext:other": "x"}}),
            false,
        ),
        (
            json!({"StringEqualsIfExists": {"kms:EncryptionContext:other": "x"}}),
            true,
        ),
        (
            json!({"StringNotEquals": {"kms:EncryptionContext:other": "x"}}),
            true,
        ),
        (
            json!({"Bool": {"kms:GrantIsForAWSResource": "true"}}),
            false,
        ),
        (json!({"Null": {"kms:EncryptionContext:other": true}}), true),
    ] {
        let allow = conditional("Allow", &condition);
        assert_eq!(
            asks_with(&allow, OWNER, "kms:Decrypt", &given),
            holds,
            "{condition}"
        );
        let deny = conditional("Deny", &condition);
        assert_eq!(
            asks_with(&deny, OWNER, "kms:Decrypt", &given),
            !holds,
            "{condition}"
        );
    }
}

#[test]
fn pairs_that_differ_in_case_only_are_not_told_apart() {
    let mut given = Conditions::default();
    given
        .encryption_context
        .insert("a".to_owned(), "x".to_owned());
    given
        .encryption_context
        .insert("A".to_owned(), "y".to_owned());
    let condition = json!({"StringEquals": {"kms:EncryptionContext:a": "x"}});
    assert!(!asks_with(
        &conditional("Allow", &condition),
        OWNER,
        "kms:Decrypt",
        &given
    ));
    assert!(!asks_with(
        &conditional("Deny", &condition),
        OWNER,
        "kms:Decrypt",
        &given
    ));
}

#[test]
fn malformed_documents_are_refused() {
    refused("");
    refused("[]");
    refused("{\"Version\":\"2012-10-17\"}");
    refused("{\"Version\":\"2012-10-17\",\"Statement\":[]}");
    refused("{\"Version\":\"2020-01-01\",\"Statement\":[]}");
    let good = allow(json!("*"), json!("kms:*"));
    for (member, value) in [
        ("Effect", json!("allow")),
        ("Principal", json!("everyone")),
        ("Principal", json!({})),
        ("Principal", json!({"AWS": []})),
        ("Principal", json!({"Person": "x"})),
        (
            "Principal",
            json!({"AWS": "arn:aws:iam::444455556666:user/*"}),
        ),
        ("Principal", json!({"AWS": "arn:aws:iam::*:root"})),
        ("Principal", json!({"AWS": "someone"})),
        ("Action", json!("Decrypt")),
        ("Action", json!([])),
        ("Action", json!(5)),
        ("Resource", json!("key/x")),
        ("Condition", json!({"StringEquals": "x"})),
        ("Condition", json!({"StringEquals": {"kms:ViaService": {}}})),
        ("NotAction", json!("kms:*")),
        ("NotPrincipal", json!("*")),
        ("NotResource", json!("*")),
        ("Extra", json!("x")),
    ] {
        let mut statement = good.clone();
        statement[member] = value;
        refused(&json!({"Statement": [statement]}).to_string());
    }
    for missing in ["Effect", "Principal"] {
        let mut statement = good.clone();
        statement
            .as_object_mut()
            .expect("an object")
            .remove(missing);
        refused(&json!({"Statement": [statement]}).to_string());
    }
    refused(
        "{\"Statement\":{\"Effect\":\"Deny\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:*\",\"Resource\":\"*\"}}",
    );
    refused(
        "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"111122223333\",\"AWS\":\"*\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}}",
    );
    let long = format!("{{\"Id\":\"{}\"}}", "x".repeat(POLICY_BYTES_MAX));
    assert_eq!(Policy::parse(&long), Err(PolicyError::Size(long.len())));
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_never_panic(text in ".{0,300}") {
            Policy::parse(&text).ok();
        }

        #[test]
        fn nothing_but_an_allow_allows(effect in "Allow|Deny", action in "kms:[A-Z][a-z*?]{0,6}", asked in "kms:[A-Z][a-z]{0,6}") {
            let document = json!({"Statement": {"Effect": effect, "Principal": "*", "Action": action, "Resource": "*"}});
            let policy = Policy::parse(&document.to_string()).expect("a good policy");
            if asks(&policy, OWNER, &asked) {
                prop_assert_eq!(effect, "Allow");
            }
        }
    }
}
