"""A catalog that is damaged is refused at the start, and told of while it is served."""
import contextlib
import http.client
import re
import sqlite3

import pytest

import clients
from snapferry_tools import running

REMEDY = re.compile(r"restore a backup of the catalog.*snapferry catalog rebuild", re.DOTALL)


def stopped(deploy):
    """A deployment that was stopped, with records in its catalog."""
    deployment = deploy()
    deployment.new_key()
    deployment.server.stop()
    return deployment


def health(deployment):
    """The status of /healthz."""
    connection = http.client.HTTPConnection("127.0.0.1", deployment.server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        return connection.getresponse().status


def test_flipped_bits_are_refused_in_words(deploy):
    deployment = stopped(deploy)
    path = deployment.server.data / "catalog.sqlite"
    whole = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
        root, size = database.execute(
            "select rootpage, (select page_size from pragma_page_size) from sqlite_schema where name = 'kms_keys'"
        ).fetchone()
    assert whole
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        page = bytearray(file.read(size))
        # The number of cells, and the places of some.
        for at in range(3, 24):
            page[at] ^= 0x55
        file.seek((root - 1) * size)
        file.write(page)
    with pytest.raises(running.StartError) as refused:
        deployment.server.start()
    assert "the catalog's database is damaged" in str(refused.value) and REMEDY.search(str(refused.value))


def test_an_index_that_lacks_a_row_is_refused(deploy):
    deployment = stopped(deploy)
    path = deployment.server.data / "catalog.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("pragma writable_schema = on")
        (sql,) = database.execute("select sql from sqlite_schema where name = 'jobs_open'").fetchone()
        # An index that is made of nothing, and then said to be of open jobs.
        database.execute(
            "insert into jobs (id, kind, region, account, subject, state, created_at, run_after, fence, attempts,"
            " progress, pins, body) values ('x', 'copy-snapshot', 'us-east-1', '000000000000', 's', 'open', 1, 1, 0, 0,"
            " '{}', '[]', '{}')"
        )
        database.execute("drop index jobs_open")
        database.execute("create index jobs_open on jobs (run_after) where state = 'nothing'")
        database.execute("update sqlite_schema set sql = ? where name = 'jobs_open'", (sql,))
        database.commit()
    with pytest.raises(running.StartError) as refused:
        deployment.server.start()
    assert "the catalog's database is damaged" in str(refused.value) and REMEDY.search(str(refused.value))


def test_a_table_of_another_shape_is_refused(deploy):
    deployment = stopped(deploy)
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as database:
        database.execute("alter table jobs add column more text")
        database.commit()
    with pytest.raises(running.StartError) as refused:
        deployment.server.start()
    assert "table jobs is not as there" in str(refused.value) and REMEDY.search(str(refused.value))


def test_damage_that_is_met_while_serving_is_told(deploy):
    deployment = deploy()
    key = deployment.new_key()
    assert health(deployment) == 200
    with contextlib.closing(sqlite3.connect(deployment.server.data / "catalog.sqlite")) as database:
        database.execute("update kms_keys set body = substr(body, 2)")
        database.commit()
    # Not "no such key".
    clients.refused("InternalFailure", deployment.kms().describe_key, KeyId=key)
    assert health(deployment) == 503
    assert REMEDY.search(deployment.server.tail())
