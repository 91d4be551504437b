-- How the background tasks of each node fare, as the node told last.

CREATE TABLE node_tasks (
    node TEXT NOT NULL PRIMARY KEY,
    told_at INTEGER NOT NULL,
    tasks TEXT NOT NULL
) STRICT;

-- Tombstones that wait for their deletion are counted.
CREATE INDEX condemned_waiting ON condemned (region) WHERE deleted_at IS NULL;
