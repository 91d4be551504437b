-- The zone that a node says it is in.

ALTER TABLE nodes ADD COLUMN zone TEXT COLLATE "C";
