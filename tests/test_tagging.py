"""The Resource Groups Tagging API: one front for the tags of clusters, snapshots and keys."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

from clients import FAR, HOME, OWNER, PARTNER, copy_request, refused
from snapferry_tools import running

COPIES = 7


@pytest.fixture(scope="module", params=["closed", "dev"])
def world(request, deploy_for_module):
    """A deployment with a cluster, snapshots and keys, most of them with tags."""
    deployment = deploy_for_module(*["--dev"] * (request.param == "dev"))
    rds, kms = deployment.rds(), deployment.kms()
    deployment.keys = [
        deployment.new_key(Tags=[{"TagKey": "team", "TagValue": colour}, {"TagKey": "kind", "TagValue": "key"}])
        for colour in ("blue", "red")
    ]
    deployment.new_key(Description="without tags")
    cluster = deployment.new_cluster("tagged", Tags=[{"Key": "team", "Value": "blue"}, {"Key": "kind", "Value": "cluster"}])
    deployment.new_snapshot("untagged", "tagged")
    deployment.snapshots = []
    for number in range(COPIES):
        tags = [{"Key": "team", "Value": "red" if number % 2 else "blue"}, {"Key": f"n{number}", "Value": ""}]
        made = rds.copy_db_cluster_snapshot(**copy_request("untagged", f"copy-{number}", Tags=tags))
        deployment.snapshots.append(made["DBClusterSnapshot"]["DBClusterSnapshotArn"])
    deployment.cluster = cluster["DBClusterArn"]
    deployment.all = {*deployment.keys, deployment.cluster, *deployment.snapshots}
    # In other regions and accounts there are tags as well.
    deployment.far = deployment.new_key(FAR, Tags=[{"TagKey": "team", "TagValue": "blue"}])
    deployment.theirs = deployment.new_key(account=PARTNER, Tags=[{"TagKey": "team", "TagValue": "blue"}])
    assert len(kms.list_keys()["Keys"]) == 3
    return deployment


def found(world, **more):
    """The ARNs that GetResources answers, of all pages."""
    pages = world.client("tagging").get_paginator("get_resources").paginate(**more)
    return [row["ResourceARN"] for page in pages for row in page["ResourceTagMappingList"]]


def team(colour):
    """A tag filter."""
    return {"Key": "team", "Values": [colour]}


def test_all_that_has_tags_is_listed_with_them(world):
    rows = {row["ResourceARN"]: row["Tags"] for row in world.client("tagging").get_resources()["ResourceTagMappingList"]}
    assert set(rows) == world.all
    assert rows[world.cluster] == [{"Key": "team", "Value": "blue"}, {"Key": "kind", "Value": "cluster"}]
    assert world.client("tagging", FAR).get_resources()["ResourceTagMappingList"][0]["ResourceARN"] == world.far
    assert [row["ResourceARN"] for row in world.client("tagging", account=PARTNER).get_resources()["ResourceTagMappingList"]] == [world.theirs]


def test_filters(world):
    blue = {world.keys[0], world.cluster, *world.snapshots[::2]}
    assert set(found(world, TagFilters=[team("blue")])) == blue
    assert set(found(world, TagFilters=[{"Key": "team", "Values": ["blue", "red"]}])) == world.all
    assert set(found(world, TagFilters=[{"Key": "team"}])) == world.all
    assert set(found(world, TagFilters=[team("blue"), {"Key": "kind", "Values": ["key", "cluster"]}])) == {world.keys[0], world.cluster}
    assert found(world, TagFilters=[team("Blue")]) == []
    for types, expected in (
        (["rds:cluster"], {world.cluster}),
        (["rds:cluster-snapshot"], set(world.snapshots)),
        (["kms:key"], set(world.keys)),
        (["rds"], {world.cluster, *world.snapshots}),
        (["kms", "rds:cluster"], {*world.keys, world.cluster}),
        (["ec2:instance"], set()),
    ):
        assert set(found(world, ResourceTypeFilters=types)) == expected, types
    both = found(world, ResourceTypeFilters=["rds:cluster-snapshot"], TagFilters=[team("red")])
    assert set(both) == set(world.snapshots[1::2])


def test_pages(world):
    for rows in (1, 2, 3, 100):
        seen = found(world, ResourcesPerPage=rows)
        assert len(seen) == len(set(seen)) == len(world.all), rows
    tagging = world.client("tagging")
    first = tagging.get_resources(ResourcesPerPage=4)
    assert len(first["ResourceTagMappingList"]) == 4 and first["PaginationToken"]
    # What comes and goes between pages neither repeats nor hides others.
    world.rds().add_tags_to_resource(ResourceName=world.snapshots[-1], Tags=[{"Key": "later", "Value": ""}])
    rest = tagging.get_resources(PaginationToken=first["PaginationToken"])
    assert rest["PaginationToken"] == ""
    arns = [row["ResourceARN"] for page in (first, rest) for row in page["ResourceTagMappingList"]]
    assert len(arns) == len(set(arns)) == len(world.all)
    many = [{"Key": f"many-{number}", "Value": ""} for number in range(45)]
    world.rds().add_tags_to_resource(ResourceName=world.cluster, Tags=many)
    for snapshot in world.snapshots[:2]:
        world.rds().add_tags_to_resource(ResourceName=snapshot, Tags=many)
    pages = list(tagging.get_paginator("get_resources").paginate(TagsPerPage=100))
    sizes = [sum(len(row["Tags"]) for row in page["ResourceTagMappingList"]) for page in pages]
    assert len(pages) > 1 and max(sizes) <= 100
    for arn in (world.cluster, *world.snapshots[:2]):
        tagging.untag_resources(ResourceARNList=[arn], TagKeys=[tag["Key"] for tag in many])
    refused("PaginationTokenExpiredException", tagging.get_resources, PaginationToken="nonsense")
    for wrong in ({"ResourcesPerPage": 101}, {"ResourcesPerPage": 0}, {"TagsPerPage": 150}, {"TagsPerPage": 600}):
        refused("InvalidParameterException", tagging.get_resources, status=400, **wrong)


def test_resources_by_their_arns(world):
    asked = [world.cluster, world.keys[1], world.far, world.theirs, f"arn:aws:ec2:{HOME}:{OWNER}:instance/i-1", world.cluster.replace(":rds:", ":neptune:")]
    assert set(found(world, ResourceARNList=asked)) == {world.cluster, world.keys[1]}
    refused("InvalidParameterException", world.client("tagging").get_resources, ResourceARNList=asked, TagFilters=[team("blue")])


def test_keys_and_values(world):
    tagging = world.client("tagging")
    keys = {"team", "kind", *(f"n{number}" for number in range(COPIES))}
    assert set(tagging.get_tag_keys()["TagKeys"]) - {"later"} == keys
    assert tagging.get_tag_values(Key="team")["TagValues"] == ["blue", "red"]
    assert tagging.get_tag_values(Key="nothing") | {"ResponseMetadata": 0} == {"PaginationToken": "", "TagValues": [], "ResponseMetadata": 0}
    rds = world.rds()
    for part in range(3):
        tags = [{"Key": f"key-{part}-{number:02}", "Value": "v"} for number in range(40)]
        rds.add_tags_to_resource(ResourceName=world.snapshots[part], Tags=tags)
    pages = list(tagging.get_paginator("get_tag_keys").paginate())
    assert [len(page["TagKeys"]) for page in pages[:-1]] == [100] * (len(pages) - 1) and len(pages) == 2
    every = [key for page in pages for key in page["TagKeys"]]
    assert every == sorted(set(every)) and len([key for key in every if key.startswith("key-")]) == 120
    for part in range(3):
        gone = [f"key-{part}-{number:02}" for number in range(40)]
        rds.remove_tags_from_resource(ResourceName=world.snapshots[part], TagKeys=gone)


def test_tags_are_the_resources_own(world):
    tagging, rds, kms = world.client("tagging"), world.rds(), world.kms()
    three = [world.cluster, world.snapshots[0], world.keys[0]]
    assert tagging.tag_resources(ResourceARNList=three, Tags={"added": "here", "team": "green"})["FailedResourcesMap"] == {}
    for arn in three[:2]:
        tags = {tag["Key"]: tag["Value"] for tag in rds.list_tags_for_resource(ResourceName=arn)["TagList"]}
        assert (tags["added"], tags["team"]) == ("here", "green")
    tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=world.keys[0])["Tags"]}
    assert tags == {"added": "here", "team": "green", "kind": "key"}
    assert set(found(world, TagFilters=[{"Key": "added"}])) == set(three)
    tagging.tag_resources(ResourceARNList=three, Tags={"team": "blue"})
    assert tagging.untag_resources(ResourceARNList=three, TagKeys=["added", "never there"])["FailedResourcesMap"] == {}
    assert found(world, TagFilters=[{"Key": "added"}]) == []


def test_each_resource_fails_for_itself(world):
    """Another region's, another account's, a missing one, other types: each is told, and the rest is done."""
    tagging = world.client("tagging")
    wrong = [
        world.far,
        world.theirs,
        world.cluster.replace(HOME, FAR),
        world.cluster.replace(OWNER, PARTNER),
        world.cluster + "-ghost",
        world.keys[0].replace("key/", "alias/"),
        f"arn:aws:s3:::bucket-{OWNER}",
        "nonsense",
    ]
    failed = tagging.tag_resources(ResourceARNList=[*wrong, world.cluster], Tags={"half": "done"})["FailedResourcesMap"]
    assert set(failed) == set(wrong)
    for arn, info in failed.items():
        assert (info["StatusCode"], info["ErrorCode"]) == (400, "InvalidParameterException"), arn
        assert info["ErrorMessage"], arn
    assert found(world, TagFilters=[{"Key": "half"}]) == [world.cluster]
    failed = tagging.untag_resources(ResourceARNList=[*wrong, world.cluster], TagKeys=["half", "team"])["FailedResourcesMap"]
    assert set(failed) == set(wrong)
    tagging.tag_resources(ResourceARNList=[world.cluster], Tags={"team": "blue"})
    for region, account, arn in ((FAR, OWNER, world.far), (HOME, PARTNER, world.theirs)):
        rows = world.client("tagging", region, account).get_resources(ResourceARNList=[arn])["ResourceTagMappingList"]
        assert rows[0]["Tags"] == [{"Key": "team", "Value": "blue"}]
    # Fifty tags at most, as by the resource's own API.
    rest = {f"k{number}": "" for number in range(49)}
    failed = tagging.tag_resources(ResourceARNList=[world.cluster, world.keys[0]], Tags=rest)["FailedResourcesMap"]
    assert set(failed) == {world.cluster, world.keys[0]}


def test_what_is_refused_as_a_whole(world):
    tagging = world.client("tagging")
    for tags in ({"aws:x": "y"}, {"semi;colon": ""}, {"k": "v" * 257}):
        refused("InvalidParameterException", tagging.tag_resources, status=400, ResourceARNList=[world.cluster], Tags=tags)
    many = [f"{world.cluster}-{number}" for number in range(21)]
    refused("InvalidParameterException", tagging.tag_resources, ResourceARNList=many, Tags={"a": "b"})
    refused("UnsupportedOperationException", tagging.get_compliance_summary)


def test_the_aws_cli(world, tmp_path):
    program = pathlib.Path(sys.executable).with_name("aws")
    ident, secret = world.credentials()
    environment = running.clean_environment(
        AWS_ACCESS_KEY_ID=ident, AWS_SECRET_ACCESS_KEY=secret, AWS_CONFIG_FILE=os.devnull, AWS_PAGER="", HOME=str(tmp_path)
    )

    def aws(*words):
        words = [program, "--endpoint-url", world.server.url, "--region", HOME, "--output", "json", "resourcegroupstaggingapi", *words]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    rows = aws("get-resources", "--tag-filters", "Key=team,Values=blue", "--resource-type-filters", "rds:cluster")
    assert [row["ResourceARN"] for row in rows["ResourceTagMappingList"]] == [world.cluster]
    assert aws("tag-resources", "--resource-arn-list", world.cluster, "--tags", "by=cli")["FailedResourcesMap"] == {}
    assert aws("get-tag-values", "--key", "by")["TagValues"] == ["cli"]
    aws("untag-resources", "--resource-arn-list", world.cluster, "--tag-keys", "by")
    assert "by" not in aws("get-tag-keys")["TagKeys"]
