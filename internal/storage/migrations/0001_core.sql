-- +goose Up

-- Small facts of the installation, such as the tenant id. Sealed values are sealed by
-- the floor that owns them.
CREATE TABLE settings (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BYTEA  NOT NULL
);

-- One vault: its data key wrapped by the root key, and its ledger, which adds up the
-- tags of all its rows so that a replayed or removed row is noticed.
CREATE TABLE vaults (
    name     TEXT   NOT NULL PRIMARY KEY,
    datakey  BYTEA  NOT NULL,
    sealed   BYTEA  NOT NULL,
    revision BIGINT NOT NULL,
    ledger   BYTEA  NOT NULL,
    epoch    BIGINT NOT NULL
);

-- Keys, secrets and certificates: one row an object (version '') and one a version.
-- position orders versions by creation; purge is when a deleted object goes for good.
CREATE TABLE objects (
    vault    TEXT   NOT NULL,
    kind     TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    version  TEXT   NOT NULL,
    position BIGINT NOT NULL,
    deleted  BOOLEAN NOT NULL,
    purge    BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL,
    PRIMARY KEY (vault, kind, name, version)
);
CREATE INDEX objects_heads ON objects (vault, kind, deleted, name) WHERE version = '';
CREATE INDEX objects_purge ON objects (purge) WHERE version = '' AND deleted;
CREATE INDEX objects_positions ON objects (vault, kind, name, position);

-- The audit trail. body is the record's canonical JSON; hash chains it to its
-- predecessor. The other columns are copies for filters and are checked by verify.
CREATE TABLE audit (
    sequence  BIGINT NOT NULL PRIMARY KEY,
    time      BIGINT NOT NULL,
    operation TEXT   NOT NULL,
    target    TEXT   NOT NULL,
    principal TEXT   NOT NULL,
    outcome   TEXT   NOT NULL,
    body      TEXT   NOT NULL,
    hash      BYTEA  NOT NULL
);
CREATE INDEX audit_target ON audit (target, sequence);
CREATE INDEX audit_principal ON audit (principal, sequence);
CREATE INDEX audit_operation ON audit (operation, sequence);

CREATE TABLE audit_head (
    id       BIGINT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash     BYTEA  NOT NULL
);

CREATE TABLE audit_checkpoints (
    sequence BIGINT NOT NULL PRIMARY KEY,
    time     BIGINT NOT NULL,
    note     TEXT   NOT NULL
);
