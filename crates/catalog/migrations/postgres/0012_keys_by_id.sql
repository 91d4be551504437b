-- The same step as ../sqlite/0012_keys_by_id.sql.

CREATE INDEX kms_keys_by_id ON kms_keys (account, id);
