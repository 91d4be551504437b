//! Grants: what one lets its grantee do, and what a grantee may hand on.
//!
//! It does not know where grants are kept, nor what the key's policy says: a policy's Deny comes
//! first. Source: "Grants in AWS KMS" and the CreateGrant page of the KMS API reference.
use model::{Account, Grant, Key, key::EncryptionContext, key_spec::KeyUsage};

/// The operations that a grant on a key can have: those that the key itself has ("Grant
/// operations", KMS Developer Guide).
pub fn operations(key: &Key) -> Vec<&'static str> {
    let mut all = vec!["CreateGrant", "DescribeKey", "RetireGrant"];
    all.extend(match key.usage {
        KeyUsage::EncryptDecrypt => &["Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo"][..],
        KeyUsage::SignVerify => &["Sign", "Verify"],
        KeyUsage::GenerateVerifyMac => &["GenerateMac", "VerifyMac"],
    });
    if key.is_symmetric() {
        all.extend(["GenerateDataKey", "GenerateDataKeyWithoutPlaintext"]);
    }
    if key.spec.is_pair() {
        all.push("GetPublicKey");
    }
    all.sort_unstable();
    all
}

/// The operations whose encryption context a constraint looks at.
const WITH_CONTEXT: [&str; 6] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

/// Whether a grant lets an account do an action, such as `kms:Decrypt`, with a context.
pub fn permits(
    grant: &Grant,
    account: &Account,
    action: &str,
    context: &EncryptionContext,
) -> bool {
    let Some(operation) = action.strip_prefix("kms:") else {
        return false;
    };
    grant.grantee_account == *account
        && grant.operations.iter().any(|one| one == operation)
        && (!WITH_CONTEXT.contains(&operation) || meets(grant, context))
}

fn meets(grant: &Grant, context: &EncryptionContext) -> bool {
    let equal = grant
        .context_equals
        .as_ref()
        .is_none_or(|all| all == context);
    let within = grant
        .context_subset
        .as_ref()
        .is_none_or(|some| contains(context, some));
    equal && within
}

fn contains(context: &EncryptionContext, some: &EncryptionContext) -> bool {
    some.iter()
        .all(|(name, value)| context.get(name) == Some(value))
}

/// Whether the grantee of `parent` may make `child`: no operation that it has not itself, and
/// constraints at least as strict.
pub fn may_hand_on(parent: &Grant, child: &Grant) -> bool {
    let operations = child
        .operations
        .iter()
        .all(|operation| parent.operations.contains(operation));
    let equal = parent
        .context_equals
        .as_ref()
        .is_none_or(|all| child.context_equals.as_ref() == Some(all));
    let within = parent.context_subset.as_ref().is_none_or(|some| {
        [&child.context_equals, &child.context_subset]
            .into_iter()
            .flatten()
            .any(|given| contains(given, some))
    });
    operations && equal && within
}

#[cfg(test)]
mod tests {
    use model::{Arn, Timestamp};

    use super::*;

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn grant(operations: &[&str]) -> Grant {
        let grantee: Account = "111122223333".parse().expect("legal");
        Grant {
            key: Arn::parse("arn:aws:kms:us-east-1:123456789012:key/a").expect("legal"),
            id: "1".to_owned(),
            token: "t".to_owned(),
            name: String::new(),
            grantee: grantee.to_string(),
            grantee_account: grantee,
            retiring: None,
            retiring_account: None,
            issuer: "123456789012".parse().expect("legal"),
            operations: operations.iter().map(|one| (*one).to_owned()).collect(),
            context_equals: None,
            context_subset: None,
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn a_grant_is_for_its_grantee_and_operations() {
        let (grant, none) = (grant(&["Decrypt", "DescribeKey"]), context(&[]));
        let grantee = &grant.grantee_account;
        assert!(permits(&grant, grantee, "kms:Decrypt", &none));
        assert!(!permits(&grant, grantee, "kms:Encrypt", &none));
        assert!(!permits(&grant, grantee, "Decrypt", &none));
        assert!(!permits(&grant, &grant.issuer, "kms:Decrypt", &none));
    }

    #[test]
    fn constraints_bind_what_has_a_context() {
        let mut grant = grant(&["Decrypt", "DescribeKey"]);
        let grantee = grant.grantee_account.clone();
        let (one, both) = (context(&[("a", "1")]), context(&[("a", "1"), ("b", "2")]));
        let may = |grant: &Grant, context: &EncryptionContext| {
            permits(grant, &grantee, "kms:Decrypt", context)
        };
        grant.context_subset = Some(one.clone());
        assert!(may(&grant, &one) && may(&grant, &both) && !may(&grant, &context(&[("a", "2")])));
        grant.context_subset = None;
        grant.context_equals = Some(one.clone());
        assert!(may(&grant, &one) && !may(&grant, &both) && !may(&grant, &context(&[])));
        assert!(permits(&grant, &grantee, "kms:DescribeKey", &context(&[])));
    }

    #[test]
    fn only_what_one_has_is_handed_on() {
        let mut parent = grant(&["Decrypt", "CreateGrant"]);
        assert!(may_hand_on(&parent, &grant(&["Decrypt"])));
        assert!(!may_hand_on(&parent, &grant(&["Decrypt", "Encrypt"])));
        let one = context(&[("a", "1")]);
        parent.context_subset = Some(one.clone());
        let mut child = grant(&["Decrypt"]);
        assert!(!may_hand_on(&parent, &child));
        child.context_subset = Some(context(&[("a", "1"), ("b", "2")]));
        assert!(may_hand_on(&parent, &child));
        child.context_subset = None;
        child.context_equals = Some(one.clone());
        assert!(may_hand_on(&parent, &child));
        parent.context_subset = None;
        parent.context_equals = Some(one);
        assert!(may_hand_on(&parent, &child));
        child.context_equals = Some(context(&[("a", "2")]));
        assert!(!may_hand_on(&parent, &child));
    }
}
