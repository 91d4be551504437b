-- The first schema: the tables of ../sqlite/0001_first.sql. Texts sort by their bytes, as there.
-- Moments are microseconds since 1970; versions come from the sequence below, since a row of
-- counters would let all writers wait for one another.

CREATE SEQUENCE versions AS BIGINT;

-- Writers share this lock, or take it alone once they were in one another's way; it stays empty.
CREATE TABLE lane ();

-- One row a writing session: the number of its last commit, by which it learns what became of a
-- commit whose answer was lost.
CREATE TABLE writers (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    mark BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE TABLE counters (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE access_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    sealed_secret BYTEA NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX access_keys_by_account ON access_keys (account, id);

CREATE TABLE clusters (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C",
    volume TEXT COLLATE "C" NOT NULL,
    base_manifest TEXT COLLATE "C",
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, name)
);
CREATE UNIQUE INDEX clusters_by_resource ON clusters (resource_id);
CREATE INDEX clusters_by_node ON clusters (node);
CREATE INDEX clusters_by_volume ON clusters (region, volume) WHERE base_manifest IS NOT NULL;

CREATE TABLE snapshots (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    engine TEXT COLLATE "C" NOT NULL,
    cluster_name TEXT COLLATE "C" NOT NULL,
    cluster_resource_id TEXT COLLATE "C" NOT NULL,
    volume TEXT COLLATE "C",
    manifest TEXT COLLATE "C",
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, name)
);
CREATE INDEX snapshots_by_kind ON snapshots (region, account, kind, name);
CREATE INDEX snapshots_by_cluster ON snapshots (region, account, cluster_name, name);
CREATE INDEX snapshots_by_resource ON snapshots (region, account, cluster_resource_id, name);
CREATE INDEX snapshots_by_volume ON snapshots (region, volume) WHERE manifest IS NOT NULL;

-- Whom a manual snapshot is shared with: an account, or 'all'.
CREATE TABLE snapshot_shares (
    region TEXT COLLATE "C" NOT NULL,
    grantee TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, grantee, account, name)
);
CREATE INDEX snapshot_shares_by_snapshot ON snapshot_shares (region, account, name);

-- How many snapshots of a kind an account has, so that a quota costs one look.
CREATE TABLE snapshot_tallies (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    tally BIGINT NOT NULL,
    PRIMARY KEY (region, account, kind)
);

CREATE TABLE kms_keys (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    deletion_at BIGINT,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, id)
);
CREATE INDEX kms_keys_by_deletion ON kms_keys (deletion_at) WHERE deletion_at IS NOT NULL;

CREATE TABLE kms_aliases (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (region, account, name)
);
CREATE INDEX kms_aliases_by_key ON kms_aliases (region, account, key_id, name);

CREATE TABLE jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    run_after BIGINT NOT NULL,
    finished_at BIGINT,
    lease_owner TEXT COLLATE "C",
    lease_until BIGINT,
    fence BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    progress TEXT COLLATE "C" NOT NULL,
    pins TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    error TEXT COLLATE "C"
);
CREATE INDEX jobs_open ON jobs (run_after) WHERE state = 'open';
CREATE INDEX jobs_by_subject ON jobs (region, account, subject, kind, created_at);
CREATE INDEX jobs_open_by_account ON jobs (region, account, kind) WHERE state = 'open';
CREATE INDEX jobs_by_age ON jobs (created_at);
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- When an account's job was last claimed, so that accounts take turns.
CREATE TABLE job_turns (
    account TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    turn BIGINT NOT NULL
);

-- Vault objects that nothing needs: named, waited for, deleted. A row whose deleted_at is set
-- keeps the name from being used again.
CREATE TABLE condemned (
    region TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    condemned_at BIGINT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (region, path)
);
CREATE INDEX condemned_waiting ON condemned (region, condemned_at) WHERE deleted_at IS NULL;

-- What is still to be mirrored into the vault. A number is never used again: a writer that
-- reports late must not strike out another letter.
CREATE TABLE outbox (
    seq BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    region TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE events (
    seq BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    source_type TEXT COLLATE "C" NOT NULL,
    source_id TEXT COLLATE "C" NOT NULL,
    source_arn TEXT COLLATE "C" NOT NULL,
    categories TEXT COLLATE "C" NOT NULL,
    message TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX events_by_time ON events (region, account, at, seq);
CREATE INDEX events_by_age ON events (at);
