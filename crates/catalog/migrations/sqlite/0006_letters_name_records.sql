-- A letter to the mirror names the record that changed; what it then is, is read when the letter
-- is written. Letters in the old form are dropped: the mirror is written anew when it has no
-- checkpoint.

DROP TABLE outbox;
CREATE TABLE outbox (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- Empty for records of no region.
    region TEXT NOT NULL,
    path TEXT NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
