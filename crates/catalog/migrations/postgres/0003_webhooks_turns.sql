-- The same step as ../sqlite/0003_webhooks_turns.sql.

DROP TABLE job_turns;
CREATE TABLE job_turns (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    turn BIGINT NOT NULL,
    PRIMARY KEY (region, account)
);

-- The newest event that an address has taken.
CREATE TABLE webhooks (
    address TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);

-- Who reads events by their number goes on from the last that it saw, so the numbers must come in
-- the order of the commits: the lock is held from the first number on until its transaction ends.
CREATE SEQUENCE event_numbers AS BIGINT;
CREATE FUNCTION event_number() RETURNS BIGINT LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1397638482, 1);
    RETURN nextval('event_numbers');
END
$$;
ALTER TABLE events ALTER COLUMN seq DROP IDENTITY;
ALTER TABLE events ALTER COLUMN seq SET DEFAULT event_number();
ALTER SEQUENCE event_numbers OWNED BY events.seq;
SELECT setval('event_numbers', GREATEST(1, (SELECT max(seq) FROM events)));
