-- Indexes that every copy paid for and few questions used. Nearly all snapshots are manual, so
-- only the others are found by their kind; and events are pruned in the order they were kept.

DROP INDEX snapshots_by_kind;
CREATE INDEX snapshots_automated ON snapshots (region, account, name) WHERE kind = 'automated';
DROP INDEX events_by_age;
