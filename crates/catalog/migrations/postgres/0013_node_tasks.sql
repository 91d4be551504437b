-- How the background tasks of each node fare, as the node told last.

CREATE TABLE node_tasks (
    node TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    told_at BIGINT NOT NULL,
    tasks TEXT COLLATE "C" NOT NULL
);

-- Tombstones that wait for their deletion are counted.
CREATE INDEX condemned_waiting ON condemned (region) WHERE deleted_at IS NULL;
