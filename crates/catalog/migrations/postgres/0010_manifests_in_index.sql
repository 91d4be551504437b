-- The same step as ../sqlite/0010_manifests_in_index.sql.

DROP INDEX snapshots_by_volume;
CREATE INDEX snapshots_by_volume ON snapshots (region, volume, manifest) WHERE manifest IS NOT NULL;
