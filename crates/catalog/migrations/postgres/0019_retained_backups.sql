-- The same step as ../sqlite/0019_retained_backups.sql.

CREATE TABLE retained_backups (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, resource_id)
);
CREATE UNIQUE INDEX retained_backups_by_resource ON retained_backups (resource_id);
