-- The same step as ../sqlite/0029_receipt_chains.sql.

CREATE TABLE receipt_chains (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account)
);
