-- A sweep asks for the manifests of a volume, each once. Where most snapshots of a volume are copies of a
-- few, the index alone tells, and all rows of a manifest are passed over in one step.

DROP INDEX snapshots_by_volume;
CREATE INDEX snapshots_by_volume ON snapshots (region, volume, manifest) WHERE manifest IS NOT NULL;
