-- The vaults of AWS Backup.

CREATE TABLE backup_vaults (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;
