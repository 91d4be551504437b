-- The jobs of AWS Backup, kept for 30 days.

CREATE TABLE backup_jobs (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    token TEXT,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, id)
) STRICT;
CREATE INDEX backup_jobs_by_time ON backup_jobs (region, account, kind, created_at, id);
CREATE INDEX backup_jobs_by_state ON backup_jobs (region, state, created_at, id);
CREATE UNIQUE INDEX backup_jobs_by_token ON backup_jobs (region, account, kind, token)
    WHERE token IS NOT NULL;
