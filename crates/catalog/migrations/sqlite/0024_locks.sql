-- What a locked vault or a legal hold keeps: whose recovery points need a key, and until when.

ALTER TABLE recovery_points ADD COLUMN goes_at INTEGER;
UPDATE recovery_points SET goes_at = (
    SELECT json_extract(s.body, '$.recorded_at')
        + json_extract(s.body, '$.recovery_point.lifecycle.delete_after_days') * 86400000000
    FROM snapshots AS s WHERE s.region = recovery_points.region
        AND s.account = recovery_points.account AND s.name = recovery_points.name);
DROP INDEX recovery_points_by_key;
CREATE INDEX recovery_points_by_key ON recovery_points (kms_key, region, account, vault, name, goes_at)
    WHERE kms_key IS NOT NULL;

CREATE TABLE legal_holds (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    active INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, id)
) STRICT;
