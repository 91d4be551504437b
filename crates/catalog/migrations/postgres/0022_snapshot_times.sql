-- Whose bytes are how old is asked of many clusters at once: told by a column, not by documents.
-- None in rows that an older node writes.

ALTER TABLE snapshots ADD COLUMN created_at BIGINT;
UPDATE snapshots SET created_at = (body::json ->> 'created_at')::bigint;
