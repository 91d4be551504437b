-- Restore testing: plans, what they test, and what each test found.

CREATE TABLE restore_testing_plans (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    due INTEGER,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;
CREATE INDEX restore_testing_plans_by_due ON restore_testing_plans (region, due);

CREATE TABLE restore_testing_selections (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    plan TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, plan, name)
) STRICT;

CREATE TABLE drills (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    planned_at INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, id)
) STRICT;
CREATE INDEX drills_by_time ON drills (region, account, planned_at, id);
CREATE INDEX drills_open ON drills (region, planned_at, id) WHERE is_open = 1;
CREATE INDEX drills_over ON drills (region, planned_at) WHERE is_open = 0;
