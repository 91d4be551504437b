-- The same step as ../sqlite/0024_locks.sql.

ALTER TABLE recovery_points ADD COLUMN goes_at BIGINT;
UPDATE recovery_points SET goes_at = (
    SELECT (s.body::jsonb ->> 'recorded_at')::bigint
        + (s.body::jsonb #>> '{recovery_point,lifecycle,delete_after_days}')::bigint * 86400000000
    FROM snapshots AS s WHERE s.region = recovery_points.region
        AND s.account = recovery_points.account AND s.name = recovery_points.name);
DROP INDEX recovery_points_by_key;
CREATE INDEX recovery_points_by_key ON recovery_points (kms_key, region, account, vault, name, goes_at)
    WHERE kms_key IS NOT NULL;

CREATE TABLE legal_holds (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    active BIGINT NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, id)
);
