-- What stands around clusters: DB subnet groups, parameter groups, event subscriptions; and how an
-- instance's server stands to its parameters.

CREATE TABLE subnet_groups (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;

CREATE TABLE parameter_groups (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    -- Of a cluster or of an instance.
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, scope, name)
) STRICT;

CREATE TABLE event_subscriptions (
    region TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (region, account, name)
) STRICT;

-- A row is there while an instance is not in sync.
CREATE TABLE parameter_status (
    instance TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (instance)
) STRICT;
