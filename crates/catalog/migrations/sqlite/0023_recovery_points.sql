-- Recovery points as their vaults, resources and keys see them: lists and counts of them walk over no other
-- snapshots, and protected resources are found by the index. What is set for AWS Backup, and what its
-- jobs are summed by.

CREATE TABLE recovery_points (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    vault TEXT NOT NULL,
    resource TEXT NOT NULL,
    kms_key TEXT,
    made_at INTEGER NOT NULL,
    whole INTEGER NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;
CREATE INDEX recovery_points_by_vault ON recovery_points (region, account, vault, name);
CREATE INDEX recovery_points_by_resource ON recovery_points (region, account, resource, made_at, name, whole);
CREATE INDEX recovery_points_in_vault ON recovery_points (region, account, vault, resource, made_at, name, whole);
CREATE INDEX recovery_points_by_key ON recovery_points (kms_key, region, account, name) WHERE kms_key IS NOT NULL;
INSERT INTO recovery_points (region, account, name, vault, resource, kms_key, made_at, whole)
    SELECT region, account, name, json_extract(body, '$.recovery_point.vault'),
        json_extract(body, '$.recovery_point.resource'), json_extract(body, '$.kms_key'),
        json_extract(body, '$.recorded_at'), status = 'available'
    FROM snapshots WHERE json_extract(body, '$.recovery_point.vault') IS NOT NULL;

CREATE TABLE backup_settings (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account)
) STRICT;

ALTER TABLE backup_jobs ADD COLUMN resource_type TEXT NOT NULL DEFAULT '';
UPDATE backup_jobs SET resource_type = json_extract(body, '$.resource_type');
DROP INDEX backup_jobs_by_time;
CREATE INDEX backup_jobs_by_time ON backup_jobs (region, account, kind, created_at, id, state, resource_type);
