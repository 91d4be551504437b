-- The same step as ../sqlite/0014_job_pins.sql.

CREATE TABLE job_pins (
    job TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    volume TEXT COLLATE "C" NOT NULL,
    -- Empty until one is known.
    manifest TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job, region, volume, manifest)
);
CREATE INDEX job_pins_by_volume ON job_pins (region, volume, manifest);
INSERT INTO job_pins (job, region, volume, manifest)
    SELECT j.id, p.value ->> 'region',
        (p.value #>> '{volume,origin}') || '/' || (p.value #>> '{volume,account}')
            || '/' || (p.value #>> '{volume,id}'),
        COALESCE(p.value ->> 'manifest', '')
    FROM jobs AS j, json_array_elements(j.pins::json) AS p (value) WHERE j.state = 'open'
    ON CONFLICT DO NOTHING;

CREATE INDEX link_passes_by_volume ON link_passes (region, volume);
