-- The first schema. Portable types only: TEXT, INTEGER (BIGINT elsewhere), BLOB.
-- Moments are microseconds since 1970; versions come from counters('version').

CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE access_keys (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX access_keys_by_account ON access_keys (account, id);

CREATE TABLE clusters (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    status TEXT NOT NULL,
    node TEXT,
    volume TEXT NOT NULL,
    base_manifest TEXT,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;
CREATE UNIQUE INDEX clusters_by_resource ON clusters (resource_id);
CREATE INDEX clusters_by_node ON clusters (node);
CREATE INDEX clusters_by_volume ON clusters (region, volume) WHERE base_manifest IS NOT NULL;

CREATE TABLE snapshots (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    engine TEXT NOT NULL,
    cluster_name TEXT NOT NULL,
    cluster_resource_id TEXT NOT NULL,
    volume TEXT,
    manifest TEXT,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;
CREATE INDEX snapshots_by_kind ON snapshots (region, account, kind, name);
CREATE INDEX snapshots_by_cluster ON snapshots (region, account, cluster_name, name);
CREATE INDEX snapshots_by_resource ON snapshots (region, account, cluster_resource_id, name);
CREATE INDEX snapshots_by_volume ON snapshots (region, volume) WHERE manifest IS NOT NULL;

-- Whom a manual snapshot is shared with: an account, or 'all'.
CREATE TABLE snapshot_shares (
    region TEXT NOT NULL,
    grantee TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (region, grantee, account, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshot_shares_by_snapshot ON snapshot_shares (region, account, name);

-- How many snapshots of a kind an account has, so that a quota costs one look.
CREATE TABLE snapshot_tallies (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    tally INTEGER NOT NULL,
    PRIMARY KEY (region, account, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE kms_keys (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    deletion_at INTEGER,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, id)
) STRICT;
CREATE INDEX kms_keys_by_deletion ON kms_keys (deletion_at) WHERE deletion_at IS NOT NULL;

CREATE TABLE kms_aliases (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;
CREATE INDEX kms_aliases_by_key ON kms_aliases (region, account, key_id, name);

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    node TEXT,
    created_at INTEGER NOT NULL,
    run_after INTEGER NOT NULL,
    finished_at INTEGER,
    lease_owner TEXT,
    lease_until INTEGER,
    fence INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    progress TEXT NOT NULL,
    pins TEXT NOT NULL,
    body TEXT NOT NULL,
    error TEXT
) STRICT;
CREATE INDEX jobs_open ON jobs (run_after) WHERE state = 'open';
CREATE INDEX jobs_by_subject ON jobs (region, account, subject, kind, created_at);
CREATE INDEX jobs_open_by_account ON jobs (region, account, kind) WHERE state = 'open';
CREATE INDEX jobs_by_age ON jobs (created_at);
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- When an account's job was last claimed, so that accounts take turns.
CREATE TABLE job_turns (
    account TEXT NOT NULL PRIMARY KEY,
    turn INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Vault objects that nothing needs: named, waited for, deleted. A row whose deleted_at is set
-- keeps the name from being used again.
CREATE TABLE condemned (
    region TEXT NOT NULL,
    path TEXT NOT NULL,
    condemned_at INTEGER NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (region, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX condemned_waiting ON condemned (region, condemned_at) WHERE deleted_at IS NULL;

-- What is still to be mirrored into the vault. A number is never used again: a writer that
-- reports late must not strike out another letter.
CREATE TABLE outbox (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    path TEXT NOT NULL,
    body BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    source_arn TEXT NOT NULL,
    categories TEXT NOT NULL,
    message TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (region, account, at, seq);
CREATE INDEX events_by_age ON events (at);
