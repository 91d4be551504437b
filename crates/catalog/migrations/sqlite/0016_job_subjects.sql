-- A job's row says what sort of thing it works on ('' in rows of older nodes: their kind says it),
-- and whether its document outlasts its end.

ALTER TABLE jobs ADD COLUMN subject_sort TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN keeps_body INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET keeps_body = 1 WHERE kind = 'verify-vault';
