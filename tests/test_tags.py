"""AddTagsToResource, ListTagsForResource, RemoveTagsFromResource."""
import re

import pytest

import clients
from clients import FAR, OWNER, PARTNER, copied, refused


@pytest.fixture
def resource(request, closed, plain_snapshot, plain):
    """A cluster's or a snapshot's ARN, without tags afterwards."""
    if request.param == "snapshot":
        arn = copied(closed, "plain-snapshot")["DBClusterSnapshotArn"]
    else:
        arn = plain["DBClusterArn"]
    yield arn
    rds = closed.rds()
    keys = [tag["Key"] for tag in rds.list_tags_for_resource(ResourceName=arn)["TagList"]]
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=keys)


both = pytest.mark.parametrize("resource", ["cluster", "snapshot"], indirect=True)


def tags(rds, arn):
    """A resource's tags."""
    return {tag["Key"]: tag["Value"] for tag in rds.list_tags_for_resource(ResourceName=arn)["TagList"]}


@both
def test_add_list_remove(closed, resource):
    rds = closed.rds()
    assert tags(rds, resource) == {}
    rds.add_tags_to_resource(
        ResourceName=resource, Tags=[{"Key": "a b", "Value": "1"}, {"Key": "c", "Value": ""}, {"Key": "ü", "Value": "é"}]
    )
    rds.add_tags_to_resource(ResourceName=resource, Tags=[{"Key": "a b", "Value": "2"}])
    assert tags(rds, resource) == {"a b": "2", "c": "", "ü": "é"}
    rds.remove_tags_from_resource(ResourceName=resource, TagKeys=["c", "not there"])
    assert tags(rds, resource) == {"a b": "2", "ü": "é"}


@both
def test_limits(closed, resource):
    rds = closed.rds()
    rds.add_tags_to_resource(ResourceName=resource, Tags=[{"Key": f"k{i}", "Value": ""} for i in range(50)])
    for wrong in (
        [{"Key": "one-more", "Value": ""}],
        [{"Key": "aws:x", "Value": ""}],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "semi;colon", "Value": ""}],
    ):
        refused("InvalidParameterValue", rds.add_tags_to_resource, ResourceName=resource, Tags=wrong)
    assert len(tags(rds, resource)) == 50


def test_both_list_forms_on_the_wire(closed, plain):
    rds, signer, arn = closed.rds(), clients.Signer(closed), plain["DBClusterArn"]
    for list_form in ("Tags.member", "Tags.Tag"):
        body = clients.form("AddTagsToResource", **{"ResourceName": arn, f"{list_form}.1.Key": list_form,
                                                  f"{list_form}.1.Value": "x"})
        assert signer.post(body).status == 200
    assert set(tags(rds, arn)) == {"Tags.member", "Tags.Tag"}
    body = clients.form("RemoveTagsFromResource", **{"ResourceName": arn, "TagKeys.member.1": "Tags.member",
                                                   "TagKeys.member.3": "Tags.Tag"})
    assert signer.post(body).status == 200
    assert tags(rds, arn) == {}


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("nonsense", "InvalidParameterValue"),
        ("arn:aws:rds:us-east-1", "InvalidParameterValue"),
        (f"arn:aws:rds:us-east-1:{OWNER}:cluster-snapshot:nobody", "DBClusterSnapshotNotFoundFault"),
        (f"arn:aws:rds:us-east-1:{OWNER}:cluster:nobody", "DBClusterNotFoundFault"),
    ],
)
def test_wrong_resources(closed, arn, code):
    rds = closed.rds()
    message = re.compile("Invalid resource name") if code == "InvalidParameterValue" else None
    refused(code, rds.list_tags_for_resource, message, ResourceName=arn)
    refused(code, rds.add_tags_to_resource, message, ResourceName=arn, Tags=[{"Key": "a", "Value": "b"}])
    refused(code, rds.remove_tags_from_resource, message, ResourceName=arn, TagKeys=["a"])


def test_other_accounts_and_regions(closed, plain):
    for rds in (closed.rds(account=PARTNER), closed.rds(FAR)):
        with pytest.raises(rds.exceptions.ClientError):
            rds.list_tags_for_resource(ResourceName=plain["DBClusterArn"])
