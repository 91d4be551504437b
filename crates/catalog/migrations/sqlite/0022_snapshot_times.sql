-- Whose bytes are how old is asked of many clusters at once: told by a column, not by documents.
-- None in rows that an older node writes.

ALTER TABLE snapshots ADD COLUMN created_at INTEGER;
UPDATE snapshots SET created_at = json_extract(body, '$.created_at');
