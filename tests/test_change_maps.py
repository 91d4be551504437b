"""`--change-maps`: a next snapshot reads the pages that the log names, and is whole all the same."""
import clients
from clients import unique
from snapferry_tools import running

MEGABYTES = 64


def test_the_next_snapshot_reads_what_changed_and_is_whole(deploy):
    home = deploy(environment={"SNAPFERRY_NO_AUTOMATED_BACKUPS": None, "SNAPFERRY_CHANGE_MAPS": "on"})
    name, first, second = unique("known"), unique("first"), unique("second")
    cluster = home.new_cluster(name, StorageEncrypted=True)
    with clients.connect(cluster) as connection:
        clients.fill_with_noise(connection, MEGABYTES)
        # Readers would leave hints, and so change every page.
        connection.execute("vacuum (freeze) noise")
        connection.execute("create table counts as select i, 0 as n from generate_series(1, 200000) i")
        # Its log goes to the vault then, and its automated snapshot is there.
        known = lambda: clients.cluster_of(home.rds(), name).get("LatestRestorableTime")
        running.wait_until(known, 120, f"{name} can be restored to a time")
        home.new_snapshot(first, name)
        connection.execute("update counts set n = i where i % 2000 = 0")
        connection.execute("delete from noise where ctid in (select ctid from noise limit 1)")
        kept = clients.table_of(connection, "noise")
        before = running.read_bytes(home.server.process.pid)
        home.new_snapshot(second, name)
        read = running.read_bytes(home.server.process.pid) - before
    assert read < MEGABYTES * 3 << 18, f"{read} bytes were read"
    back = unique("back")
    home.rds().restore_db_cluster_from_snapshot(
        DBClusterIdentifier=back, SnapshotIdentifier=second, Engine="aurora-postgresql"
    )
    with clients.connect(clients.wait_cluster(home.rds(), back)) as connection:
        assert connection.execute("select sum(n), count(*) from counts").fetchone() == (100 * 101 // 2 * 2000, 200000)
        assert clients.table_of(connection, "noise") == kept
