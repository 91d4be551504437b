-- The same step as ../sqlite/0020_backup_jobs.sql.

CREATE TABLE backup_jobs (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    token TEXT COLLATE "C",
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, id)
);
CREATE INDEX backup_jobs_by_time ON backup_jobs (region, account, kind, created_at, id);
CREATE INDEX backup_jobs_by_state ON backup_jobs (region, state, created_at, id);
CREATE UNIQUE INDEX backup_jobs_by_token ON backup_jobs (region, account, kind, token)
    WHERE token IS NOT NULL;
