-- Grants on KMS keys, when keys are rotated, and which accounts there are.

CREATE TABLE kms_grants (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    key_id TEXT NOT NULL,
    id TEXT NOT NULL,
    grantee TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, key_id, id)
) STRICT;
CREATE INDEX kms_grants_by_grantee ON kms_grants (region, account, key_id, grantee);

-- Whether the service manages the key for its account: 1 or 0.
ALTER TABLE kms_keys ADD COLUMN managed INTEGER NOT NULL DEFAULT 0;
UPDATE kms_keys SET managed = 1 WHERE json_extract(body, '$.manager') = 'Aws';
ALTER TABLE kms_keys ADD COLUMN rotation_at INTEGER;
CREATE INDEX kms_keys_by_rotation ON kms_keys (rotation_at) WHERE rotation_at IS NOT NULL;

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO accounts (id, name, created_at)
    SELECT account, '', min(created_at) FROM access_keys GROUP BY account;
