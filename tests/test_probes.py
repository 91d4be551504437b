"""What supervisors and balancers ask: /livez, /readyz with its reasons."""
import contextlib
import json
import sqlite3

import clients
from snapferry_tools import running

CHECKS = ["catalog", "vaults", "master-key", "audit", "drain", "process"]


def ready(deployment):
    """The status of /readyz, and the reasons of what is not well."""
    answer = clients.send(deployment.server, "GET", "/readyz")
    told = json.loads(answer.text)
    assert [check["name"] for check in told["checks"]] == CHECKS
    reasons = {check["name"]: check["reason"] for check in told["checks"] if "reason" in check}
    assert told["ready"] == (answer.status == 200) == (not reasons)
    assert str(deployment.server.data) not in answer.text
    return answer.status, reasons


def lives(deployment):
    """Whether /livez says so."""
    return clients.send(deployment.server, "GET", "/livez").status == 200


def change(deployment):
    """A record that the vault's record log is to have."""
    deployment.rds().create_db_cluster_parameter_group(
        DBClusterParameterGroupName=clients.unique("group"), DBParameterGroupFamily="aurora-postgresql15", Description="d"
    )


def test_a_server_that_can_work_says_so(closed):
    assert lives(closed)
    assert ready(closed) == (200, {})
    assert clients.send(closed.server, "HEAD", "/readyz").status == 200


def counted(deployment):
    """What is counted of requests: those of the API, and HTTP's."""
    lines = clients.send(deployment.server, "GET", "/metrics").text.splitlines()
    return [line for line in lines if line.startswith(("snapferry_requests_total", "snapferry_http_responses_total"))]


def test_probes_and_scrapes_are_not_counted_as_requests(closed):
    clients.send(closed.server, "GET", "/")
    before = counted(closed)
    assert before
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        assert clients.send(closed.server, "GET", path).status == 200
        assert clients.send(closed.server, "GET", path, {"Host": "elsewhere.example"}).status == 403
        assert clients.send(closed.server, "POST", path).status == 405
    assert clients.send(closed.server, "GET", "/metrics", {"Authorization": "Bearer wrong"}).status in (200, 401)
    assert counted(closed) == before


def test_a_vault_that_takes_nothing_is_told(deploy):
    deployment = deploy()
    deployment.new_key()
    vault = deployment.server.data / "vault"
    running.wait_until(lambda: list(vault.iterdir()), 60, "a vault")
    aside = vault.with_name("aside")
    vault.rename(aside)
    change(deployment)
    running.wait_until(lambda: "vaults" in ready(deployment)[1], 60, "the vault is missed")
    assert list(ready(deployment)[1]) == ["vaults"] and lives(deployment)
    # Whatever was made in its place.
    running.remove_folder(vault)
    aside.rename(vault)
    change(deployment)
    running.wait_until(lambda: ready(deployment) == (200, {}), 60, "the vault is back")


def test_a_rotated_master_key_is_told(deploy):
    deployment = deploy()
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite", timeout=60)) as database:
        with database:
            changed = database.execute("update meta set value = 'another' where name = 'master_key_fingerprint'")
            assert changed.rowcount == 1
        status, reasons = ready(deployment)
        assert status == 503 and list(reasons) == ["master-key"] and "restart" in reasons["master-key"]
    assert lives(deployment)
