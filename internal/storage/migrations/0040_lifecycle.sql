-- +goose Up

-- What people and the engine decide about certificates. Everything that an entry says is
-- sealed with its id and revision; the other columns are copies to find and order it by.

-- name_key is the name in lower case.
CREATE TABLE lifecycle_connections (
    id       TEXT   NOT NULL PRIMARY KEY,
    name_key TEXT   NOT NULL UNIQUE,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);

-- due is when the renewal engine looks at it next, 0 for never; keep is the certificate of
-- a vault that the lineage fills, which no other may.
CREATE TABLE lifecycle_lineages (
    id       TEXT   NOT NULL PRIMARY KEY,
    name_key TEXT   NOT NULL UNIQUE,
    keep     TEXT   NOT NULL UNIQUE,
    owner    TEXT   NOT NULL,
    due      BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);
CREATE INDEX lifecycle_lineages_due ON lifecycle_lineages (due) WHERE due > 0;
CREATE INDEX lifecycle_lineages_owner ON lifecycle_lineages (owner, name_key);

-- Which connections a lineage has targets on.
CREATE TABLE lifecycle_targets (
    lineage    TEXT NOT NULL REFERENCES lifecycle_lineages (id) ON DELETE CASCADE,
    target     TEXT NOT NULL,
    connection TEXT NOT NULL REFERENCES lifecycle_connections (id),
    PRIMARY KEY (lineage, target)
);
CREATE INDEX lifecycle_targets_connection ON lifecycle_targets (connection);

-- The certificates of a lineage, in the order of position. replaced is 0 for the current one.
CREATE TABLE lifecycle_members (
    lineage    TEXT   NOT NULL REFERENCES lifecycle_lineages (id) ON DELETE CASCADE,
    sha256     TEXT   NOT NULL,
    position   BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    version    TEXT   NOT NULL,
    request    TEXT   NOT NULL,
    since      BIGINT NOT NULL,
    replaced   BIGINT NOT NULL,
    PRIMARY KEY (lineage, sha256)
);
CREATE INDEX lifecycle_members_position ON lifecycle_members (lineage, position);

-- guard is there while the request is under way, and names what only one may do at a
-- time; once is what makes the same wish twice one request. wake is when somebody looks
-- whether it went on, 0 when it has ended.
CREATE TABLE lifecycle_requests (
    id       TEXT   NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL,
    lineage  TEXT   NOT NULL,
    state    TEXT   NOT NULL,
    guard    TEXT   UNIQUE,
    once     TEXT   NOT NULL UNIQUE,
    wake     BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);
CREATE INDEX lifecycle_requests_lineage ON lifecycle_requests (lineage, id);
CREATE INDEX lifecycle_requests_state ON lifecycle_requests (state, id);
CREATE INDEX lifecycle_requests_wake ON lifecycle_requests (wake) WHERE wake > 0;

-- guard as above; once is the request with the target, NULL for a deployment that stands alone.
CREATE TABLE lifecycle_deployments (
    id       TEXT   NOT NULL PRIMARY KEY,
    request  TEXT   NOT NULL,
    lineage  TEXT   NOT NULL,
    state    TEXT   NOT NULL,
    guard    TEXT   UNIQUE,
    once     TEXT   UNIQUE,
    wake     BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);
CREATE INDEX lifecycle_deployments_request ON lifecycle_deployments (request, id);
CREATE INDEX lifecycle_deployments_lineage ON lifecycle_deployments (lineage, id);
CREATE INDEX lifecycle_deployments_state ON lifecycle_deployments (state, id);
CREATE INDEX lifecycle_deployments_wake ON lifecycle_deployments (wake) WHERE wake > 0;
