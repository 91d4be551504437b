"""DB subnet groups: kept and answered as RDS does, though no network is behind them."""
import pytest

import clients
from clients import FAR, OWNER, PARTNER, refused, unique

SUBNETS = ["subnet-0a1b", "subnet-1c2d", "subnet-2e3f", "subnet-4a5b"]


@pytest.fixture
def new(closed):
    """Makes groups, which are gone afterwards."""
    made, rds = [], closed.rds()

    def make(**more):
        name = unique("group")
        made.append(name)
        return rds.create_db_subnet_group(
            **{"DBSubnetGroupName": name, "DBSubnetGroupDescription": "mine", "SubnetIds": SUBNETS[:2]} | more
        )["DBSubnetGroup"]

    yield make
    for name in made:
        rds.delete_db_subnet_group(DBSubnetGroupName=name)


def one(rds, name):
    """A group by its name."""
    (found,) = rds.describe_db_subnet_groups(DBSubnetGroupName=name)["DBSubnetGroups"]
    return found


def test_as_terraform_does(closed):
    """Create, read, update, read, delete: what is read is what was sent."""
    rds, name = closed.rds(), unique("tf.Group_x")
    made = rds.create_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription="Managed by Terraform", SubnetIds=SUBNETS[:3],
        Tags=[{"Key": "a", "Value": "b"}])["DBSubnetGroup"]
    assert made == one(rds, name)
    assert made["DBSubnetGroupName"] == name.lower()
    assert made["DBSubnetGroupArn"] == f"arn:aws:rds:us-east-1:{OWNER}:subgrp:{name.lower()}"
    assert made["DBSubnetGroupDescription"] == "Managed by Terraform" and made["SubnetGroupStatus"] == "Complete"
    assert [subnet["SubnetIdentifier"] for subnet in made["Subnets"]] == SUBNETS[:3]
    assert [subnet["SubnetAvailabilityZone"]["Name"][-1] for subnet in made["Subnets"]] == ["a", "b", "c"]
    assert made["VpcId"].startswith("vpc-") and made["SupportedNetworkTypes"] == ["IPV4"]
    assert rds.list_tags_for_resource(ResourceName=made["DBSubnetGroupArn"])["TagList"] == [{"Key": "a", "Value": "b"}]
    changed = rds.modify_db_subnet_group(
        DBSubnetGroupName=name, DBSubnetGroupDescription="other", SubnetIds=SUBNETS[1:])["DBSubnetGroup"]
    assert changed == one(rds, name)
    assert changed["DBSubnetGroupDescription"] == "other"
    assert [subnet["SubnetIdentifier"] for subnet in changed["Subnets"]] == SUBNETS[1:]
    rds.add_tags_to_resource(ResourceName=made["DBSubnetGroupArn"], Tags=[{"Key": "c", "Value": "d"}])
    rds.remove_tags_from_resource(ResourceName=made["DBSubnetGroupArn"], TagKeys=["a"])
    assert rds.list_tags_for_resource(ResourceName=made["DBSubnetGroupArn"])["TagList"] == [{"Key": "c", "Value": "d"}]
    rds.delete_db_subnet_group(DBSubnetGroupName=name)
    refused("DBSubnetGroupNotFoundFault", rds.describe_db_subnet_groups, status=404, DBSubnetGroupName=name)
    refused("DBSubnetGroupNotFoundFault", rds.delete_db_subnet_group, status=404, DBSubnetGroupName=name)
    refused("DBSubnetGroupNotFoundFault", rds.list_tags_for_resource, ResourceName=made["DBSubnetGroupArn"])


def test_the_default_group_is_always_there(closed):
    rds = closed.rds(FAR)
    default = one(rds, "default")
    assert len(default["Subnets"]) == 3
    assert default in rds.describe_db_subnet_groups()["DBSubnetGroups"]
    refused("InvalidDBSubnetGroupStateFault", rds.delete_db_subnet_group, DBSubnetGroupName="default")
    refused("InvalidParameterValue", rds.create_db_subnet_group,
            DBSubnetGroupName="Default", DBSubnetGroupDescription="x", SubnetIds=SUBNETS[:2])
    arn = default["DBSubnetGroupArn"]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "k", "Value": "v"}])
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "k", "Value": "v"}]
    assert one(rds, "default") == default


def test_what_is_refused(closed, new):
    rds, made = closed.rds(), new()
    name = made["DBSubnetGroupName"]

    def create(code, **wrong):
        good = {"DBSubnetGroupName": unique("wrong"), "DBSubnetGroupDescription": "x", "SubnetIds": SUBNETS}
        return refused(code, rds.create_db_subnet_group, **good | wrong)

    create("DBSubnetGroupAlreadyExists", DBSubnetGroupName=name.upper())
    assert "us-east-1a" in create("DBSubnetGroupDoesNotCoverEnoughAZs", SubnetIds=[SUBNETS[0], SUBNETS[0]])
    create("InvalidSubnet", SubnetIds=[SUBNETS[0], "net-1"])
    create("DBSubnetQuotaExceededFault", SubnetIds=[f"subnet-{number}" for number in range(21)])
    for wrong in ("1a", "a/b", "ä", "a" * 256):
        create("InvalidParameterValue", DBSubnetGroupName=wrong)
    create("InvalidParameterValue", Tags=[{"Key": "aws:x", "Value": ""}])
    refused("DBSubnetGroupDoesNotCoverEnoughAZs", rds.modify_db_subnet_group,
            DBSubnetGroupName=name, SubnetIds=SUBNETS[:1])
    refused("DBSubnetGroupNotFoundFault", rds.modify_db_subnet_group,
            status=404, DBSubnetGroupName="nothing-here", SubnetIds=SUBNETS)
    assert one(rds, name) == made


def test_groups_are_their_accounts_and_regions(closed, new):
    name = new()["DBSubnetGroupName"]
    for other in (closed.rds(FAR), closed.rds(account=PARTNER)):
        refused("DBSubnetGroupNotFoundFault", other.describe_db_subnet_groups, DBSubnetGroupName=name)


def test_pages_and_the_quota(deploy):
    rds = deploy("--dev").rds()
    made = [f"g{number:02}" for number in range(50)]
    for name in made:
        rds.create_db_subnet_group(DBSubnetGroupName=name, DBSubnetGroupDescription="x", SubnetIds=SUBNETS)
    refused("DBSubnetGroupQuotaExceeded", rds.create_db_subnet_group,
            DBSubnetGroupName="one-more", DBSubnetGroupDescription="x", SubnetIds=SUBNETS)
    first = rds.describe_db_subnet_groups(MaxRecords=20)
    assert len(first["DBSubnetGroups"]) == 20
    pages = rds.get_paginator("describe_db_subnet_groups").paginate(PaginationConfig={"PageSize": 20})
    assert [group["DBSubnetGroupName"] for page in pages for group in page["DBSubnetGroups"]] == ["default", *made]


def test_a_cluster_has_a_group_that_is_there(closed):
    rds = closed.rds()
    refused("DBSubnetGroupNotFoundFault", rds.create_db_cluster, status=404, DBClusterIdentifier=unique("none"),
            DBSubnetGroupName="nothing-here", Engine="postgres", MasterUsername=clients.USER,
            MasterUserPassword=clients.PASSWORD)
    refused("DBClusterParameterGroupNotFound", rds.create_db_cluster, status=404, DBClusterIdentifier=unique("none"),
            DBClusterParameterGroupName="nothing-here", Engine="postgres", MasterUsername=clients.USER,
            MasterUserPassword=clients.PASSWORD)
    said = refused("InvalidParameterCombination", rds.create_db_cluster, DBClusterIdentifier=unique("none"),
                   DBClusterParameterGroupName="default.aurora-postgresql15", Engine="postgres",
                   MasterUsername=clients.USER, MasterUserPassword=clients.PASSWORD)
    assert "aurora-postgresql15" in said


def test_a_group_that_a_cluster_has_stays(closed, new):
    rds, group = closed.rds(), new()["DBSubnetGroupName"]
    name = unique("in-group")
    closed.new_cluster(name, DBSubnetGroupName=group)
    said = refused("InvalidDBSubnetGroupStateFault", rds.delete_db_subnet_group, DBSubnetGroupName=group)
    assert name in said
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    clients.wait_cluster_gone(rds, name)
