-- The newest signed receipt of each account's restore tests: the next one names it.

CREATE TABLE receipt_chains (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account)
) STRICT;
