-- Deleted clusters whose automated backups are kept.

CREATE TABLE retained_backups (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, resource_id)
) STRICT;
CREATE UNIQUE INDEX retained_backups_by_resource ON retained_backups (resource_id);
