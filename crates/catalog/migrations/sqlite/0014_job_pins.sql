-- What open jobs need kept, by volume: a sweep asks for one volume at a time.

CREATE TABLE job_pins (
    job TEXT NOT NULL,
    region TEXT NOT NULL,
    volume TEXT NOT NULL,
    -- Empty until one is known.
    manifest TEXT NOT NULL,
    PRIMARY KEY (job, region, volume, manifest)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_pins_by_volume ON job_pins (region, volume, manifest);
INSERT OR IGNORE INTO job_pins (job, region, volume, manifest)
    SELECT j.id, json_extract(p.value, '$.region'),
        json_extract(p.value, '$.volume.origin') || '/' || json_extract(p.value, '$.volume.account')
            || '/' || json_extract(p.value, '$.volume.id'),
        COALESCE(json_extract(p.value, '$.manifest'), '')
    FROM jobs AS j, json_each(j.pins) AS p WHERE j.state = 'open';

CREATE INDEX link_passes_by_volume ON link_passes (region, volume);
