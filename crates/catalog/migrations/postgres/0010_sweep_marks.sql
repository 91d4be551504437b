-- Volumes that a sweep has to look at, since something that reached their objects ended; and an
-- index that answers whether a manifest is still needed by one look.

CREATE TABLE sweep_marks (
    region TEXT COLLATE "C" NOT NULL,
    volume TEXT COLLATE "C" NOT NULL,
    marked_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (region, volume)
);

DROP INDEX snapshots_by_volume;
CREATE INDEX snapshots_by_volume ON snapshots (region, volume, manifest)
    WHERE manifest IS NOT NULL;

-- Condemned names are looked for by their volume; deleted ones by their age.
DROP INDEX condemned_waiting;
CREATE INDEX condemned_deleted ON condemned (region, deleted_at) WHERE deleted_at IS NOT NULL;
