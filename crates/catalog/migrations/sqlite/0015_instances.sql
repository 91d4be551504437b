-- Instances own the placements that clusters had: each placed cluster has one, its writer, which
-- bears the cluster's own letters. Both are told to the record log anew.

CREATE TABLE instances (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    -- The cluster's resource id.
    cluster TEXT NOT NULL,
    role TEXT NOT NULL,
    node TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, id)
) STRICT;
CREATE INDEX instances_by_cluster ON instances (cluster, role);
CREATE INDEX instances_by_node ON instances (node, cluster);

INSERT INTO instances (region, account, id, cluster, role, node, version, body)
    SELECT region, account, 'db-' || substr(resource_id, 9), resource_id, 'writer',
        json_extract(body, '$.placement.node'), version,
        json_object(
            'region', region, 'account', account, 'id', 'db-' || substr(resource_id, 9),
            'cluster', resource_id, 'role', 'writer',
            'availability_zone', json_extract(body, '$.availability_zones[0]'),
            'class', json_extract(body, '$.instance_class'),
            'placement', json_extract(body, '$.placement'))
    FROM clusters WHERE json_extract(body, '$.placement') IS NOT NULL;

UPDATE counters SET value = value + 1 WHERE name = 'version';
INSERT INTO outbox (region, path, version, at)
    SELECT region, 'instances/' || region || '/' || account || '/' || id, version,
        CAST(strftime('%s', 'now') AS INTEGER) * 1000000
    FROM instances;
INSERT INTO outbox (region, path, version, at)
    SELECT region, 'clusters/' || region || '/' || account || '/' || name, version,
        CAST(strftime('%s', 'now') AS INTEGER) * 1000000
    FROM clusters;

DROP INDEX clusters_by_node;
ALTER TABLE clusters DROP COLUMN node;
