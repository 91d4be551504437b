-- A multi-Region key's likes in other regions have its id.

CREATE INDEX kms_keys_by_id ON kms_keys (account, id);
