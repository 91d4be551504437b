"""Who is let in: signatures, presigned requests, and what web pages may not do."""
import base64
import datetime
import hashlib
import re

import pytest

import clients
from clients import FORM, Signer, form, send

DESCRIBE = form("DescribeDBClusters")
WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key"
    " and signing method. Consult the service documentation for details."
)


@pytest.fixture(scope="module")
def signer(closed):
    """The owner's signatures."""
    return Signer(closed)


def denied(answer, code, status=403, message=None):
    """Asserts a documented fault."""
    assert answer.status == status, answer.text
    found, said = answer.fault()
    assert found == code, answer.text
    if isinstance(message, re.Pattern):
        assert message.search(said), said
    elif message is not None:
        assert said == message


def shifted(**by):
    """Another moment than now."""
    return clients.now() + datetime.timedelta(**by)


def test_a_signed_request_is_answered(signer):
    answer = signer.post(DESCRIBE)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/xml")
    assert "<DescribeDBClustersResponse" in answer.text


def test_unsigned(closed):
    answer = send(closed.server, headers={"Content-Type": FORM}, body=DESCRIBE)
    denied(answer, "MissingAuthenticationToken", message="Request is missing Authentication Token")


def test_an_unknown_access_key(closed, signer):
    signer = Signer(closed)
    signer.credentials.access_key = "AKIAAAAAAAAAAAAAAAAA"
    denied(
        signer.post(DESCRIBE),
        "InvalidClientTokenId",
        message="The security token included in the request is invalid.",
    )


def test_a_wrong_secret(closed):
    signer = Signer(closed)
    signer.credentials.secret_key = "wrong" * 8
    denied(signer.post(DESCRIBE), "SignatureDoesNotMatch", message=WRONG)


def test_an_account_number_is_no_access_key_here(closed):
    signer = Signer(closed)
    signer.credentials.access_key = clients.OWNER
    denied(signer.post(DESCRIBE), "InvalidClientTokenId")


def test_a_session_token_of_nobody(closed):
    signer = Signer(closed)
    signer.credentials.token = "made-up"
    denied(signer.post(DESCRIBE), "InvalidClientTokenId")


def test_a_date_within_the_skew(signer):
    assert signer.post(DESCRIBE, when=shifted(minutes=-14)).status == 200
    assert signer.post(DESCRIBE, when=shifted(minutes=14)).status == 200


def test_an_expired_date(signer):
    answer = signer.post(DESCRIBE, when=shifted(minutes=-16))
    denied(answer, "SignatureDoesNotMatch", message=re.compile(r"^Signature expired: \d{8}T\d{6}Z is now earlier than"))


def test_a_date_to_come(signer):
    answer = signer.post(DESCRIBE, when=shifted(minutes=16))
    denied(answer, "SignatureDoesNotMatch", message=re.compile("^Signature not yet current: "))


def test_a_changed_body(closed, signer):
    headers = signer.headers(DESCRIBE)
    denied(send(closed.server, headers=headers, body=DESCRIBE + b"&MaxRecords=20"), "SignatureDoesNotMatch")


def test_a_changed_path_and_query(closed, signer):
    headers = signer.headers(DESCRIBE)
    denied(send(closed.server, path="/?MaxRecords=20", headers=headers, body=DESCRIBE), "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "authorization",
    ["AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a", "Basic dXNlcjpwYXNz", "AWS4-HMAC-SHA256 a=b, c"],
)
def test_a_malformed_authorization(closed, signer, authorization):
    headers = signer.headers(DESCRIBE) | {"Authorization": authorization}
    answer = send(closed.server, headers=headers, body=DESCRIBE)
    assert answer.status in (400, 403)
    assert answer.fault()[0] in ("IncompleteSignature", "MissingAuthenticationToken")


def test_the_host_must_be_signed(closed, signer):
    headers = signer.headers(DESCRIBE)
    headers["Authorization"] = headers["Authorization"].replace(";host;", ";")
    answer = send(closed.server, headers=headers, body=DESCRIBE)
    assert answer.status in (400, 403)
    assert answer.fault()[0] in ("IncompleteSignature", "SignatureDoesNotMatch")
    assert "ost" in answer.fault()[1]


def test_the_body_hash_that_is_sent_must_match(signer):
    empty = hashlib.sha256(b"").hexdigest()
    assert signer.post(DESCRIBE, extra={"X-Amz-Content-SHA256": hashlib.sha256(DESCRIBE).hexdigest()}).status == 200
    for wrong in (empty, "UNSIGNED-PAYLOAD"):
        answer = signer.post(DESCRIBE, extra={"X-Amz-Content-SHA256": wrong})
        assert answer.status in (400, 403), wrong
        answer.fault()


def test_two_forms_of_authentication(closed, signer):
    path = signer.presigned("DescribeDBClusters")
    headers = signer.headers(b"", path=path, method="GET")
    answer = send(closed.server, "GET", path, headers)
    assert answer.status in (400, 403)
    answer.fault()


def test_two_authorization_headers(closed, signer):
    headers = signer.headers(DESCRIBE)
    headers["Authorization"] = [headers["Authorization"], headers["Authorization"]]
    answer = send(closed.server, headers=headers, body=DESCRIBE)
    assert answer.status in (400, 403)
    answer.fault()


def test_a_scope_of_another_service(closed):
    answer = Signer(closed, service="s3").post(DESCRIBE)
    assert answer.status in (400, 403)
    answer.fault()


def test_a_scope_of_no_known_region(closed):
    answer = Signer(closed, region="mars-north-1").post(DESCRIBE)
    assert answer.status in (400, 403)
    assert "mars-north-1" in answer.fault()[1]


def test_presigned_get(closed, signer):
    path = signer.presigned("DescribeDBClusters")
    answer = send(closed.server, "GET", path)
    assert answer.status == 200, answer.text
    assert "<DescribeDBClustersResponse" in answer.text


def test_presigned_get_that_expired(closed, signer):
    path = signer.presigned("DescribeDBClusters", expires=60, when=shifted(minutes=-2))
    denied(send(closed.server, "GET", path), "SignatureDoesNotMatch", message=re.compile("^Signature expired"))


def test_presigned_get_that_lives_too_long(closed, signer):
    answer = send(closed.server, "GET", signer.presigned("DescribeDBClusters", expires=604_801))
    assert answer.status in (400, 403)
    answer.fault()


def test_presigned_get_that_was_changed(closed, signer):
    path = signer.presigned("DescribeDBClusters", DBClusterIdentifier="a")
    changed = path.replace("DBClusterIdentifier=a", "DBClusterIdentifier=b")
    denied(send(closed.server, "GET", changed), "SignatureDoesNotMatch")


def test_an_unsigned_get_changes_nothing(dev):
    query = form("CreateDBClusterSnapshot", DBClusterSnapshotIdentifier="x", DBClusterIdentifier="y").decode()
    answer = send(dev.server, "GET", f"/?{query}")
    assert answer.status in (400, 403, 405)
    assert answer.fault()[0] not in ("DBClusterNotFoundFault", "InternalFailure")


@pytest.mark.parametrize("where", ["body", "both"])
def test_a_parameter_given_twice(signer, where):
    if where == "body":
        answer = signer.post(DESCRIBE + b"&MaxRecords=20&MaxRecords=30")
    else:
        answer = signer.post(DESCRIBE + b"&MaxRecords=20", path="/?MaxRecords=30")
    assert answer.status == 400, answer.text
    assert "MaxRecords" in answer.fault()[1]


def test_an_oversized_body(closed, signer):
    body = DESCRIBE + b"&X=" + b"a" * (1 << 20)
    answer = signer.post(body)
    denied(answer, "RequestEntityTooLarge", status=413)
    assert clients.send(closed.server, "GET", "/healthz").status == 200


@pytest.mark.parametrize("body", [b"Action=%zz", b"Action=%ff%fe", b"Action=DescribeDBClusters&a=%"])
def test_a_malformed_body(signer, body):
    answer = signer.post(body)
    # The status is the one that the page of common errors gives this fault.
    assert answer.status == 404, answer.text
    assert answer.fault()[0] == "MalformedQueryString"


def test_a_body_that_is_no_form(signer):
    answer = signer.post(b"\x00\x01\x02")
    assert answer.status == 400, answer.text
    answer.fault()


def test_no_action(signer):
    denied(signer.post(b"Version=2014-10-31"), "MissingAction", status=400)


def test_an_unknown_action(signer):
    answer = signer.post(form("RebootTheMoon"))
    denied(answer, "InvalidAction", status=400, message=re.compile("RebootTheMoon"))


def test_what_is_echoed_is_cut_and_clean(signer):
    long = "x" * 5_000
    said = signer.post(form("DescribeDBClusters", DBClusterIdentifier="a\x01\x02" + long)).text
    assert len(said) < 2_000
    assert "\x01" not in said


@pytest.mark.parametrize("mode", ["closed", "dev"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ],
    ids=lambda headers: "=".join(*headers.items()),
)
def test_a_web_page_is_refused(request, mode, headers):
    deployment = request.getfixturevalue(mode)
    body = form("DescribeDBClusters")
    sent = {"Content-Type": "text/plain"} | headers
    if mode == "closed" and "Host" not in headers:
        sent = Signer(deployment).headers(body) | headers
    answer = send(deployment.server, headers=sent, body=body)
    assert answer.status in (400, 403, 421), answer.text
    assert "<DBClusters" not in answer.text
    assert "access-control-allow-origin" not in answer.headers


def test_aws_host_names_are_accepted(dev):
    for host in ("rds.us-east-1.amazonaws.com", "rds.cn-north-1.amazonaws.com.cn", "localhost:8085"):
        answer = send(dev.server, headers={"Content-Type": FORM, "Host": host}, body=DESCRIBE)
        assert answer.status == 200, host


def test_dev_mode_takes_accounts_from_access_keys(dev):
    for account, expected in ((clients.PARTNER, clients.PARTNER), ("AKIAIOSFODNN7EXAMPLE", clients.OWNER)):
        assert dev.client("sts", account=account).get_caller_identity()["Account"] == expected
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    answer = send(dev.server, headers={"Content-Type": FORM}, body=body)
    assert answer.status == 200
    assert f"<Account>{clients.OWNER}</Account>" in answer.text


def test_basic_authentication_is_no_way_in(closed):
    token = base64.b64encode(":".join(closed.credentials()).encode()).decode()
    answer = send(closed.server, headers={"Content-Type": FORM, "Authorization": f"Basic {token}"}, body=DESCRIBE)
    assert answer.status in (400, 403)
