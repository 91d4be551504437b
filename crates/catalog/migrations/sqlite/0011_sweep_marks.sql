-- Volumes that a sweep has to look at, since something that reached their objects ended.

CREATE TABLE sweep_marks (
    region TEXT NOT NULL,
    volume TEXT NOT NULL,
    marked_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (region, volume)
) STRICT, WITHOUT ROWID;

-- Condemned names are looked for by their volume; deleted ones by their age.
DROP INDEX condemned_waiting;
CREATE INDEX condemned_deleted ON condemned (region, deleted_at) WHERE deleted_at IS NOT NULL;
