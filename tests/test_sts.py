"""STS: who am I."""
import pytest

import ferry


@pytest.mark.parametrize("account", [ferry.OWNER, ferry.PARTNER])
def test_get_caller_identity(closed, account):
    found = closed.client("sts", account=account).get_caller_identity()
    assert found["Account"] == account
    assert found["Arn"].split(":")[4] == account
    assert found["UserId"]


def test_an_unknown_caller(closed):
    signer = ferry.Signer(closed, service="sts")
    signer.credentials.access_key = "AKIAAAAAAAAAAAAAAAAA"
    answer = signer.post(b"Action=GetCallerIdentity&Version=2011-06-15")
    assert answer.status == 403
    assert answer.fault()[0] == "InvalidClientTokenId"
