-- Packs and lists that an open verification found whole, so that it goes on where it was.

CREATE TABLE verified_objects (
    job TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    volume TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job, region, volume, hash)
);
