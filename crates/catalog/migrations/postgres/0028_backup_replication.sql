-- The same step as ../sqlite/0028_backup_replication.sql.

DROP INDEX retained_backups_by_resource;
CREATE INDEX retained_backups_by_resource ON retained_backups (resource_id, region);
