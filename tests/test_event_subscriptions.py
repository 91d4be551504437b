"""Event subscriptions: kept as RDS keeps them; their events go where the settings say that the topic leads."""
import contextlib
import re

import pytest

from clients import OWNER, PARTNER, copy_request, refused, unique
from snapferry_tools import running
from test_webhooks import Receiver

TOPIC = f"arn:aws:sns:us-east-1:{OWNER}:snapshots"
OTHER = f"arn:aws:sns:us-east-1:{OWNER}:other"


@pytest.fixture(scope="module")
def told(deploy_for_module, tmp_path_factory):
    """A deployment with addresses for two topics, and the receiver of the first."""
    receiver = Receiver()
    file = tmp_path_factory.mktemp("topics") / "snapferry.toml"
    file.write_text("".join(
        f'[[webhook]]\nurl = "http://127.0.0.1:{receiver.port}/{topic[-5:]}"\nsecret = "a-secret-for-the-tests"\ntopic = "{topic}"\n'
        for topic in (TOPIC, OTHER)
    ), encoding="utf-8")
    deployment = deploy_for_module("--dev", "--config", str(file))
    deployment.receiver = receiver
    yield deployment
    receiver.stop()


@contextlib.contextmanager
def subscribed(rds, **more):
    """A subscription, for a while."""
    name = unique("Subscription")
    made = rds.create_event_subscription(**{"SubscriptionName": name, "SnsTopicArn": TOPIC} | more)["EventSubscription"]
    yield made
    gone = rds.delete_event_subscription(SubscriptionName=name)["EventSubscription"]
    assert gone["CustSubscriptionId"] == name


def one(rds, name):
    """A subscription by its name."""
    (found,) = rds.describe_event_subscriptions(SubscriptionName=name)["EventSubscriptionsList"]
    return found


def test_as_terraform_does(told):
    """Create, read, update, read, delete: what is read is what was sent."""
    rds = told.rds()
    told.new_cluster("watched")
    with subscribed(rds, SourceType="db-cluster", SourceIds=["watched"], EventCategories=["failure", "creation"],
                    Enabled=False, Tags=[{"Key": "a", "Value": "b"}]) as made:
        name = made["CustSubscriptionId"]
        assert made == one(rds, name)
        assert made["EventSubscriptionArn"] == f"arn:aws:rds:us-east-1:{OWNER}:es:{name}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", made["SubscriptionCreationTime"])
        assert {key: made[key] for key in ("CustomerAwsId", "Status", "SnsTopicArn", "SourceType", "Enabled")} == {
            "CustomerAwsId": OWNER, "Status": "active", "SnsTopicArn": TOPIC, "SourceType": "db-cluster", "Enabled": False}
        assert made["SourceIdsList"] == ["watched"] and made["EventCategoriesList"] == ["failure", "creation"]
        assert rds.list_tags_for_resource(ResourceName=made["EventSubscriptionArn"])["TagList"] == [{"Key": "a", "Value": "b"}]
        changed = rds.modify_event_subscription(
            SubscriptionName=name, SnsTopicArn=OTHER, EventCategories=["backup"], Enabled=True)["EventSubscription"]
        assert changed == one(rds, name)
        assert (changed["SnsTopicArn"], changed["EventCategoriesList"], changed["Enabled"]) == (OTHER, ["backup"], True)
        rds.remove_source_identifier_from_subscription(SubscriptionName=name, SourceIdentifier="watched")
        assert one(rds, name)["SourceIdsList"] == []
        rds.add_source_identifier_to_subscription(SubscriptionName=name, SourceIdentifier="Watched")
        assert one(rds, name)["SourceIdsList"] == ["watched"]
    refused("SubscriptionNotFound", rds.describe_event_subscriptions, status=404, SubscriptionName=name)
    refused("SubscriptionNotFound", rds.delete_event_subscription, status=404, SubscriptionName=name)


def test_what_is_refused(told):
    rds = told.rds()

    def create(code, **wrong):
        return refused(code, rds.create_event_subscription, **{"SubscriptionName": unique("x"), "SnsTopicArn": TOPIC} | wrong)

    said = create("SNSTopicArnNotFound", SnsTopicArn=f"arn:aws:sns:us-east-1:{OWNER}:nowhere")
    assert "settings" in said
    create("SNSInvalidTopic", SnsTopicArn="nowhere")
    create("SNSInvalidTopic", SnsTopicArn=f"arn:aws:sqs:us-east-1:{OWNER}:snapshots")
    create("SubscriptionCategoryNotFound", EventCategories=["weather"])
    create("SourceNotFound", SourceType="db-cluster", SourceIds=["nothing-here"])
    create("InvalidParameterCombination", SourceIds=["watched"])
    create("InvalidParameterValue", SourceType="db-weather")
    create("InvalidParameterValue", SubscriptionName="1")
    with subscribed(rds) as made:
        name = made["CustSubscriptionId"]
        create("SubscriptionAlreadyExist", SubscriptionName=name)
        refused("InvalidParameterCombination", rds.add_source_identifier_to_subscription,
                SubscriptionName=name, SourceIdentifier="watched")
        refused("SourceNotFound", rds.remove_source_identifier_from_subscription,
                SubscriptionName=name, SourceIdentifier="watched")
        refused("SubscriptionNotFound", told.rds(account=PARTNER).describe_event_subscriptions, SubscriptionName=name)
        for number in range(19):
            rds.create_event_subscription(SubscriptionName=f"s{number}", SnsTopicArn=TOPIC)
        create("EventSubscriptionQuotaExceeded")
        assert len(rds.describe_event_subscriptions(MaxRecords=20)["EventSubscriptionsList"]) == 20
        for number in range(19):
            rds.delete_event_subscription(SubscriptionName=f"s{number}")


def test_a_topic_gets_what_its_subscriptions_want(told):
    rds, receiver = told.rds(), told.receiver
    told.new_cluster("source")
    receiver.taken.clear()
    with subscribed(rds, SourceType="db-cluster-snapshot", EventCategories=["notification"]):
        told.new_snapshot("first", "source")
        rds.copy_db_cluster_snapshot(**copy_request("first", "copied"))
        copied = [("copied", "SNAPFERRY-EVENT-0002")]
        running.wait_until(lambda: receiver.ids()[-1:] == copied, 60, "the copy's end is told")
        assert {source for source, _ in receiver.ids()} == {"copied"}, "neither clusters nor backups"
        assert {path for path, _, _ in receiver.taken} == {f"/{TOPIC[-5:]}"}, "nobody subscribed to the other"
    before = len(receiver.taken)
    rds.copy_db_cluster_snapshot(**copy_request("first", "unheard"))
    with subscribed(rds):
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="unheard")
        running.wait_until(lambda: len(receiver.taken) > before, 60, "the deletion is told")
    assert ("unheard", "SNAPFERRY-EVENT-0005") in receiver.ids()
