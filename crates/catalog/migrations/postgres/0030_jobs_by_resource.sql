-- The same step as ../sqlite/0030_jobs_by_resource.sql.

ALTER TABLE backup_jobs ADD COLUMN resource TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE backup_jobs SET resource = body::jsonb ->> 'resource';
CREATE INDEX backup_jobs_by_resource ON backup_jobs (region, account, kind, resource, state, created_at, id);
