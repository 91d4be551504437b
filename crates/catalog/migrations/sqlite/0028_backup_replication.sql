-- What regions keep of one cluster: its own, and one that its backups are brought to.

DROP INDEX retained_backups_by_resource;
CREATE INDEX retained_backups_by_resource ON retained_backups (resource_id, region);
