-- The nodes that share a catalog. A catalog in one file has one node, which needs no row.

CREATE TABLE nodes (
    name TEXT NOT NULL PRIMARY KEY,
    home TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    state TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    build TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL
) STRICT;
