-- Jobs of AWS Backup are found by their resource: when it was restored last.

ALTER TABLE backup_jobs ADD COLUMN resource TEXT NOT NULL DEFAULT '';
UPDATE backup_jobs SET resource = json_extract(body, '$.resource');
CREATE INDEX backup_jobs_by_resource ON backup_jobs (region, account, kind, resource, state, created_at, id);
