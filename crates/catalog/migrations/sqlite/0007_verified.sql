-- Packs and lists that an open verification found whole, so that it goes on where it was.

CREATE TABLE verified_objects (
    job TEXT NOT NULL,
    region TEXT NOT NULL,
    volume TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (job, region, volume, hash)
) STRICT, WITHOUT ROWID;
