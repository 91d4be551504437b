-- Without statistics (a new database, or one that was just filled) PostgreSQL takes any index whose
-- first columns are given: a look at one snapshot by its name then read all of its account's.
-- These begin with what only their own queries give. Each query names all columns but the last.

DROP INDEX snapshots_by_cluster;
DROP INDEX snapshots_by_resource;
DROP INDEX snapshot_shares_by_snapshot;
DROP INDEX kms_aliases_by_key;
CREATE INDEX snapshots_by_cluster ON snapshots (cluster_name, account, region, name);
CREATE INDEX snapshots_by_resource ON snapshots (cluster_resource_id, account, region, name);
CREATE INDEX snapshot_shares_by_snapshot ON snapshot_shares (name, account, region);
CREATE INDEX kms_aliases_by_key ON kms_aliases (key_id, account, region, name);
