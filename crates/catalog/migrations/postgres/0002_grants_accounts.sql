-- The same step as ../sqlite/0002_grants_accounts.sql.

CREATE TABLE kms_grants (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    grantee TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, key_id, id)
);
CREATE INDEX kms_grants_by_grantee ON kms_grants (region, account, key_id, grantee);

-- Whether the service manages the key for its account: 1 or 0.
ALTER TABLE kms_keys ADD COLUMN managed BIGINT NOT NULL DEFAULT 0;
UPDATE kms_keys SET managed = 1 WHERE body::json ->> 'manager' = 'Aws';
ALTER TABLE kms_keys ADD COLUMN rotation_at BIGINT;
CREATE INDEX kms_keys_by_rotation ON kms_keys (rotation_at) WHERE rotation_at IS NOT NULL;

CREATE TABLE accounts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
INSERT INTO accounts (id, name, created_at)
    SELECT account, '', min(created_at) FROM access_keys GROUP BY account;
