-- Backup plans: what they say, said before, and select.

CREATE TABLE backup_plans (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    due INTEGER,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, id)
) STRICT;
CREATE INDEX backup_plans_by_due ON backup_plans (region, due);

CREATE TABLE backup_plan_versions (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    plan TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, plan, id)
) STRICT;

CREATE TABLE backup_selections (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    plan TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, plan, id)
) STRICT;
