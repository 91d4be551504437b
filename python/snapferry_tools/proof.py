"""The same rows on both sides: a count and an order-independent checksum of every table.

Knows PostgreSQL only, not how the clusters came to be.
"""
import psycopg
from psycopg import sql

TABLES = """
    select n.nspname, c.relname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm')
      and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%'
    order by 1, 2
"""


def connect(cluster, user, password, database):
    """A connection to a cluster as DescribeDBClusters shows it."""
    return psycopg.connect(
        host=cluster["Endpoint"],
        port=cluster["Port"],
        user=user,
        password=password,
        dbname=database,
        connect_timeout=10,
        autocommit=True,
    )


def fingerprints(connection):
    """Of each table outside the system's schemas: the number of rows, and the sum of their hashes.

    A sum does not depend on the order of rows, and two equal rows do not cancel out.
    """
    found = {}
    for schema, table in connection.execute(TABLES).fetchall():
        query = sql.SQL(
            "select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from {} t"
        ).format(sql.Identifier(schema, table))
        found[f"{schema}.{table}"] = connection.execute(query).fetchone()
    return found


def differences(here, there):
    """What does not agree between two sets of fingerprints, as sentences."""
    found = []
    for table in sorted(here.keys() | there.keys()):
        if table not in there or table not in here:
            found.append(f"{table} is on one side only")
        elif here[table][0] != there[table][0]:
            found.append(f"{table} has {here[table][0]} rows on one side and {there[table][0]} on the other")
        elif here[table] != there[table]:
            found.append(f"{table} has rows that differ")
    return found
