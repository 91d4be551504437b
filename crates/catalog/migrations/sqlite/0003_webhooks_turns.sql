-- Turns are per region and account, so that one region's queue does not hold up another's; and
-- how far each webhook has come. Turns begin anew: they only order what is waiting.

DROP TABLE job_turns;
CREATE TABLE job_turns (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (region, account)
) STRICT, WITHOUT ROWID;

-- The newest event that an address has taken.
CREATE TABLE webhooks (
    address TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
