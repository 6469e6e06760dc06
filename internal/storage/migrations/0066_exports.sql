-- +goose Up

-- Requests to export a vault. Everything that one says is sealed with its id and revision;
-- the other columns are copies to find and order it by.
CREATE TABLE vault_exports (
    id       TEXT   NOT NULL PRIMARY KEY,
    vault    TEXT   NOT NULL,
    live     BOOLEAN NOT NULL,
    ends     BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);
CREATE INDEX vault_exports_vault ON vault_exports (vault, id);
