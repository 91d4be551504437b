-- The same step as ../sqlite/0023_recovery_points.sql.

CREATE TABLE recovery_points (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    vault TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    kms_key TEXT COLLATE "C",
    made_at BIGINT NOT NULL,
    whole BIGINT NOT NULL,
    PRIMARY KEY (region, account, name)
);
CREATE INDEX recovery_points_by_vault ON recovery_points (region, account, vault, name);
CREATE INDEX recovery_points_by_resource ON recovery_points (region, account, resource, made_at, name, whole);
CREATE INDEX recovery_points_in_vault ON recovery_points (region, account, vault, resource, made_at, name, whole);
CREATE INDEX recovery_points_by_key ON recovery_points (kms_key, region, account, name) WHERE kms_key IS NOT NULL;
INSERT INTO recovery_points (region, account, name, vault, resource, kms_key, made_at, whole)
    SELECT region, account, name, body::jsonb #>> '{recovery_point,vault}',
        body::jsonb #>> '{recovery_point,resource}', body::jsonb ->> 'kms_key',
        (body::jsonb ->> 'recorded_at')::bigint, CASE status WHEN 'available' THEN 1 ELSE 0 END
    FROM snapshots WHERE body::jsonb #>> '{recovery_point,vault}' IS NOT NULL;

CREATE TABLE backup_settings (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account)
);

ALTER TABLE backup_jobs ADD COLUMN resource_type TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE backup_jobs SET resource_type = body::jsonb ->> 'resource_type';
DROP INDEX backup_jobs_by_time;
CREATE INDEX backup_jobs_by_time ON backup_jobs (region, account, kind, created_at, id, state, resource_type);
