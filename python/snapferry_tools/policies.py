"""Key policies as AWS documents them."""
import json


def cross_account(owner, partners):
    """The documented policy that lets other accounts use a key for shared snapshots, as JSON."""
    def allow(sid, account, actions, **more):
        return {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": [f"kms:{action}" for action in actions],
            "Resource": "*",
        } | more

    statements = [allow("OwnerDoesAll", owner, ["*"])]
    use = ["Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "CreateGrant", "DescribeKey"]
    grants = ["CreateGrant", "ListGrants", "RevokeGrant"]
    for partner in partners:
        statements.append(allow(f"Use{partner}", partner, use))
        only_services = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        statements.append(allow(f"Attach{partner}", partner, grants, Condition=only_services))
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
