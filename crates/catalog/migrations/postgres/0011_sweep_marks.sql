-- Volumes that a sweep has to look at, since something that reached their objects ended.

CREATE TABLE sweep_marks (
    region TEXT COLLATE "C" NOT NULL,
    volume TEXT COLLATE "C" NOT NULL,
    marked_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (region, volume)
);

-- Condemned names are looked for by their volume; deleted ones by their age.
DROP INDEX condemned_waiting;
CREATE INDEX condemned_deleted ON condemned (region, deleted_at) WHERE deleted_at IS NOT NULL;
