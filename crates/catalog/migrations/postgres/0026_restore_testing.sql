-- The same step as ../sqlite/0026_restore_testing.sql.

CREATE TABLE restore_testing_plans (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    due BIGINT,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, name)
);
CREATE INDEX restore_testing_plans_by_due ON restore_testing_plans (region, due);

CREATE TABLE restore_testing_selections (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    plan TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, plan, name)
);

CREATE TABLE drills (
    region TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    planned_at BIGINT NOT NULL,
    is_open BIGINT NOT NULL,
    version BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (region, account, id)
);
CREATE INDEX drills_by_time ON drills (region, account, planned_at, id);
CREATE INDEX drills_open ON drills (region, planned_at, id) WHERE is_open = 1;
CREATE INDEX drills_over ON drills (region, planned_at) WHERE is_open = 0;
