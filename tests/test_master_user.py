"""What the master user is given beyond its own attributes, by plain statements, and what it is not."""
import contextlib
import pathlib
import subprocess

import psycopg
import pytest

import clients
from clients import unique
from snapferry_tools import running

# Each extension that PostgreSQL 15 keeps for superusers and RDS gives, and a statement that uses it. The tables
# and indexes are those of `furnished`.
USES = {
    "amcheck": "select bt_index_check('numbers_pkey'), verify_heapam('numbers')",
    "autoinc": "create trigger a before insert on stamped execute function autoinc(n, numbers_seq)",
    "bloom": "create index on numbers using bloom (i)",
    "dblink": "select dblink_get_connections()",
    "dict_xsyn": "create text search dictionary synonyms (template = xsyn_template)",
    "earthdistance": "select earth_distance(ll_to_earth(1, 2), ll_to_earth(3, 4))",
    "insert_username": "create trigger u before insert on stamped execute function insert_username(who)",
    "intagg": "select int_array_aggregate(i) from numbers",
    "moddatetime": "create trigger m before update on stamped for each row execute function moddatetime(at)",
    "old_snapshot": "select count(*) from pg_old_snapshot_time_mapping()",
    "pageinspect": None,
    "pg_buffercache": "select count(*) from pg_buffercache",
    "pg_freespacemap": "select * from pg_freespace('numbers')",
    "pg_prewarm": "select pg_prewarm('numbers')",
    "pg_stat_statements": "select count(*), pg_stat_statements_reset() from pg_stat_statements",
    "pg_visibility": "select * from pg_visibility('numbers')",
    "pg_walinspect": "select * from pg_get_wal_record_info(pg_current_wal_lsn() - 2000)",
    "pgrowlocks": "select * from pgrowlocks('numbers')",
    "pgstattuple": "select * from pgstattuple('numbers')",
    "postgres_fdw": "create server elsewhere foreign data wrapper postgres_fdw",
    "refint": "select 1 from pg_proc where proname = 'check_primary_key'",
    "sslinfo": "select ssl_is_used()",
    "xml2": "select xpath_string('<a>1</a>', '/a')",
}
KEPT = ("adminpack", "file_fdw", "pg_surgery")
SETTINGS = {
    "session_replication_role": "replica", "log_statement": "all", "log_min_duration_statement": "5s",
    "track_io_timing": "on", "temp_file_limit": "1GB", "deadlock_timeout": "2s", "auto_explain.log_min_duration": "1s",
    "pg_stat_statements.track": "all",
}
# Statements that would take the master user beyond its databases, or what is Snapferry's from it.
ESCAPES = (
    "set role rdsadmin",
    "set session authorization rdsadmin",
    "grant rdsadmin to current_user",
    "alter role rdsadmin password 'x'",
    "alter role rds_superuser superuser",
    "alter role rds_superuser bypassrls",
    "alter role current_user superuser",
    "alter system set log_statement = 'all'",
    "set log_min_error_statement = 'error'",
    "set session_preload_libraries = '/tmp/x.so'",
    "set dynamic_library_path = '/tmp'",
    "set allow_system_table_mods = on",
    "load '/tmp/x.so'",
    "grant set on parameter log_min_error_statement to rds_superuser",
    "alter extension amcheck drop function bt_index_check(regclass)",
    "alter function bt_index_check(regclass) owner to current_user",
    "create or replace function bt_index_check(regclass) returns void language sql as 'select'",
    "alter view pg_stat_statements owner to current_user",
    "alter foreign data wrapper postgres_fdw options (add a 'b')",
    "alter user mapping for current_user server elsewhere options (add password_required 'false')",
    "select dblink_connect_u('dbname=rdsadmin user=rdsadmin')",
    "select dblink_connect('dbname=rdsadmin user=rdsadmin')",
    "select pg_truncate_visibility_map('numbers')",
    "select autoprewarm_start_worker()",
    "select get_raw_page('numbers', 0)",
    "select pg_read_file('PG_VERSION')",
    "update pg_extension set extowner = 10",
)


@pytest.fixture(scope="module")
def deployment(deploy_for_module):
    """A deployment that is stopped and started."""
    return deploy_for_module("--lease-seconds", "3")


@pytest.fixture(scope="module")
def furnished(deployment):
    """A cluster with all of these extensions, each used."""
    made = deployment.new_cluster(unique("master"))
    with clients.connect(made) as connection:
        connection.execute("create table numbers (i int primary key)")
        connection.execute("insert into numbers select generate_series(1, 1000)")
        connection.execute("create sequence numbers_seq")
        connection.execute("create table stamped (n int, who text, at timestamp)")
        for name, use in USES.items():
            connection.execute(f"create extension {name} cascade")
            if use:
                connection.execute(use)
    return made


def names_of(connection, statement):
    """The first column of an answer."""
    return {row[0] for row in connection.execute(statement)}


def tool(program, cluster, *words, database=clients.DATABASE):
    """A program of PostgreSQL's on a cluster, as its master user."""
    subprocess.run(
        [program, "--host", cluster["Endpoint"], "--port", str(cluster["Port"]), "--username", clients.USER,
         "--dbname", database, *words],
        check=True, stdout=subprocess.DEVNULL, env=running.clean_environment(PGPASSWORD=clients.PASSWORD),
    )


def default_of(rds, cluster, name):
    """What the cluster's parameter group says of a parameter."""
    pages = rds.get_paginator("describe_db_cluster_parameters").paginate(
        DBClusterParameterGroupName=cluster["DBClusterParameterGroup"]
    )
    found = [one for page in pages for one in page["Parameters"] if one["ParameterName"] == name]
    return found[0].get("ParameterValue")


def assert_all_there(cluster):
    """Roles, settings, libraries and extensions of a cluster that was restored or started."""
    database = unique("later")
    with clients.connect(cluster) as connection:
        for role in ("rds_password", "pg_monitor"):
            assert connection.execute("select pg_has_role(%s, 'usage')", (role,)).fetchone()[0]
        connection.execute("set session_replication_role = replica")
        connection.execute("select count(*) from pg_stat_statements")
        connection.execute(f'create database "{database}"')
    with clients.connect(cluster, database=database) as connection:
        connection.execute("create extension pgstattuple")


def test_the_extensions_that_rds_gives_are_made_by_plain_statements(deployment, furnished):
    """Each was made and used; those that reach files or forge rows stay with superusers."""
    with clients.connect(furnished) as connection:
        assert set(USES) <= names_of(connection, "select extname from pg_extension")
        for name in KEPT:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"create extension {name}")
        shown = names_of(connection, "select name from pg_available_extension_versions where trusted")
        assert shown.isdisjoint(KEPT)
        preloaded = connection.execute("show shared_preload_libraries").fetchone()[0]
        assert "pg_stat_statements" in preloaded
        assert preloaded == default_of(deployment.rds(), furnished, "shared_preload_libraries")
        statements = names_of(connection, "select query from pg_stat_statements")
        assert not [text for text in statements if "SCRAM" in text]


def test_roles_and_settings_of_rds_are_there(furnished):
    """The master user has rds_superuser and may give it on; data loads turn triggers off."""
    with clients.connect(furnished) as connection:
        for role in ("rds_superuser", "rds_replication", "rds_password", "pg_monitor", "pg_signal_backend", "pg_checkpoint"):
            assert connection.execute("select pg_has_role(%s, 'usage')", (role,)).fetchone()[0], role
        for name, value in SETTINGS.items():
            connection.execute(f"set {name} = '{value}'")
            assert connection.execute(f"show {name}").fetchone()[0] == value
        connection.execute("reset all")
        connection.execute("checkpoint")
        connection.execute("create role helper")
        connection.execute("grant rds_superuser to helper")
        connection.execute("grant usage on foreign data wrapper postgres_fdw to helper")
        connection.execute("revoke usage on foreign data wrapper postgres_fdw from helper")
        connection.execute("drop role helper")


@pytest.mark.parametrize("statement", ESCAPES)
def test_nothing_of_it_leads_further(furnished, statement):
    """Neither to the administrator's role, nor to its objects, settings or files."""
    with clients.connect(furnished) as connection, pytest.raises(psycopg.Error) as refusal:
        connection.execute("create user mapping if not exists for current_user server elsewhere")
        connection.execute(statement)
    assert isinstance(refusal.value, (
        psycopg.errors.InsufficientPrivilege, psycopg.errors.SqlclientUnableToEstablishSqlconnection,
        psycopg.errors.UndefinedFile, psycopg.errors.CantChangeRuntimeParam,
    )) or "superuser" in str(refusal.value) or "password" in str(refusal.value), refusal.value


def test_a_schema_full_of_traps_is_not_run_by_the_administrator(deployment, furnished):
    """An extension's script runs as the administrator in a schema of the user's: what lies there is never called."""
    database = unique("traps").replace("-", "_")
    with clients.connect(furnished) as connection:
        connection.execute(f'create database "{database}"')
    with clients.connect(furnished, database=database) as connection:
        connection.execute("create table caught (who text, what text)")
        connection.execute("create schema traps")
        connection.execute("""create function traps.trap() returns bool language plpgsql as
            $$ begin insert into public.caught values (current_user, 'trap'); return true; end $$""")
        for name, arguments, result in (
            ("cube_is_point", "public.caught", "bool"), ("cube_distance", "text, text", "float8"), ("abs", "text", "float8"),
            ("pg_stat_statements", "text", "bool"), ("pg_buffercache_pages", "int", "bool"),
        ):
            connection.execute(f"""create function traps.{name}({arguments}) returns {result} language plpgsql as
                $$ begin insert into public.caught values (current_user, '{name}'); return null; end $$""")
        connection.execute("""create function traps.same(name, text) returns bool language plpgsql as
            $$ begin insert into public.caught values (current_user, '='); return true; end $$""")
        connection.execute("create operator traps.= (leftarg = name, rightarg = text, function = traps.same)")
        for name in USES:
            with contextlib.suppress(psycopg.Error):
                connection.execute(f"create extension {name} schema traps cascade")
        made = names_of(connection, "select extname from pg_extension")
        assert len(made) > len(USES) - 3
        assert names_of(connection, "select who from caught").isdisjoint({"rdsadmin"})
        # What was there before is not taken over by the administrator.
        owners = names_of(connection, "select proowner::regrole::text from pg_proc where proname in ('trap', 'same')")
        assert owners == {furnished["MasterUsername"]}


def test_dumps_stay_what_they_were_and_restores_and_old_clusters_have_all_of_it(deployment, furnished, tmp_path):
    """pg_dump names no grant of ours; a restore and a start give the rights again."""
    dump = tmp_path / "dump.sql"
    tool("pg_dump", furnished, "--file", dump)
    text = dump.read_text()
    assert "CREATE EXTENSION IF NOT EXISTS pg_stat_statements" in text
    assert "rds_superuser" not in text
    with clients.connect(furnished) as connection:
        connection.execute("create database again")
    tool("psql", furnished, "--quiet", "--set=ON_ERROR_STOP=1", "--file", dump, database="again")

    # As a cluster of an older release: without the roles.
    with clients.connect(furnished) as connection:
        connection.execute("revoke pg_monitor from rds_superuser")
        connection.execute("drop role rds_password")
    rds, snapshot, name = deployment.rds(), unique("master-snapshot"), unique("master-restored")
    deployment.new_snapshot(snapshot, furnished["DBClusterIdentifier"])
    rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=name, SnapshotIdentifier=snapshot, Engine="aurora-postgresql"
    )
    restored = clients.wait_cluster(rds, name)
    assert_all_there(restored)
    deployment.server.stop()
    deployment.server.start()
    for cluster in (restored, furnished):
        assert_all_there(clients.wait_cluster(deployment.rds(), cluster["DBClusterIdentifier"]))


def test_the_systems_own_files_stay(deployment, furnished):
    """The server is a copy; what it has of its own are control files and scripts, and the rest are links."""
    programs = [path for path in pathlib.Path(deployment.server.data, "programs").rglob("postgres") if path.is_file()]
    assert len(programs) == 1
    changed = [path for path in pathlib.Path(deployment.server.data, "programs").rglob("extension/*") if not path.is_symlink()]
    assert {path.name.split("--")[0].removesuffix(".control") for path in changed} == set(USES)
    for path in changed:
        theirs = next(pathlib.Path("/usr/share/postgresql").glob(f"*/extension/{path.name}"))
        assert path.read_text().startswith(theirs.read_text().rstrip())
