"""The attacks' own instruments: what they print has to be what happens."""
import time

import clients


def test_a_frozen_server_shows_in_another_accounts_latency(deploy, watch):
    deployment = deploy()
    with watch(deployment) as seen:
        time.sleep(0.3)
        deployment.server.process.send_signal(19)
        time.sleep(1.2)
        deployment.server.process.send_signal(18)
        time.sleep(0.3)
    assert max(seen.seconds) > 1 and not seen.refusals, seen.told()
    assert seen.rss_mib[0] > 1 and seen.descriptors[0] > 3


def test_a_tenant_runs_programs_as_the_clusters_user(closed, plain, tenant):
    # What decision 5 expects: SQL keeps no one apart. PostgreSQL 16 ends it.
    assert plain["EngineVersion"].startswith("15"), "look at decision 5 anew"
    try:
        assert tenant(plain).run("id -u") != ["0"]
    finally:
        # Other tests share the cluster, and one looks at what its master user may not do.
        with clients.connect(plain) as connection:
            connection.execute(f"revoke pg_execute_server_program from {clients.USER}")
    assert clients.cluster_of(closed.rds(), "plain")["Status"] == "available"
