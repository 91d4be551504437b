-- The same step as ../sqlite/0015_instances.sql.

CREATE TABLE instances (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    -- The cluster's resource id.
    cluster TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, id)
);
CREATE INDEX instances_by_cluster ON instances (cluster, role);
CREATE INDEX instances_by_node ON instances (node, cluster);

INSERT INTO instances (region, account, id, cluster, role, node, version, body)
    SELECT region, account, 'db-' || substr(resource_id, 9), resource_id, 'writer',
        body::json #>> '{placement,node}', version,
        json_build_object(
            'region', region, 'account', account, 'id', 'db-' || substr(resource_id, 9),
            'cluster', resource_id, 'role', 'writer',
            'availability_zone', body::json #> '{availability_zones,0}',
            'class', body::json -> 'instance_class',
            'placement', body::json -> 'placement')::text
    FROM clusters WHERE body::json ->> 'placement' IS NOT NULL;

SELECT nextval('versions');
INSERT INTO outbox (region, path, version, at)
    SELECT region, 'instances/' || region || '/' || account || '/' || id, version,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM instances;
INSERT INTO outbox (region, path, version, at)
    SELECT region, 'clusters/' || region || '/' || account || '/' || name, version,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM clusters;

DROP INDEX clusters_by_node;
ALTER TABLE clusters DROP COLUMN node;
