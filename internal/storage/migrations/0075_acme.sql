-- +goose Up

-- Accounts of the ACME servers. The key of an account is known by its thumbprint; entry is
-- the rest, as JSON.
CREATE TABLE acme_accounts (
    id           TEXT   NOT NULL PRIMARY KEY,
    profile      TEXT   NOT NULL,
    thumbprint   TEXT   NOT NULL,
    external_key TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    entry        TEXT   NOT NULL,
    UNIQUE (profile, thumbprint)
);

-- What accounts have shown. identifier is its type, a colon and the name, with "*." for a
-- wildcard; expires is when the row is of no use any more.
CREATE TABLE acme_authorizations (
    id         TEXT   NOT NULL PRIMARY KEY,
    account    TEXT   NOT NULL,
    identifier TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    expires    BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    entry      TEXT   NOT NULL
);
CREATE INDEX acme_authorizations_valid ON acme_authorizations (account, identifier, expires) WHERE status = 'valid';
CREATE INDEX acme_authorizations_expires ON acme_authorizations (expires);

-- Orders, with the certificates that they led to. once is the nonce of the request that
-- made it, so that no node takes it twice. over is when the row is of no use any more: a
-- while after the order expired, or after its certificate did.
CREATE TABLE acme_orders (
    id          TEXT   NOT NULL PRIMARY KEY,
    account     TEXT   NOT NULL,
    once        TEXT   NOT NULL UNIQUE,
    renewal_id  TEXT,
    sha256      TEXT,
    replaced_by TEXT   NOT NULL,
    over        BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    entry       TEXT   NOT NULL,
    der         BYTEA,
    chain       BYTEA
);
CREATE INDEX acme_orders_account ON acme_orders (account, id);
CREATE UNIQUE INDEX acme_orders_renewal ON acme_orders (renewal_id) WHERE renewal_id IS NOT NULL;
CREATE UNIQUE INDEX acme_orders_sha256 ON acme_orders (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX acme_orders_over ON acme_orders (over);

-- External account keys, each sealed with its id and revision.
CREATE TABLE acme_keys (
    id       TEXT   NOT NULL PRIMARY KEY,
    profile  TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);

-- Windows in which certificates are to be renewed.
CREATE TABLE acme_windows (
    id    TEXT   NOT NULL PRIMARY KEY,
    until BIGINT NOT NULL,
    entry TEXT   NOT NULL
);

-- +goose Down
DROP TABLE acme_windows;
DROP TABLE acme_keys;
DROP TABLE acme_orders;
DROP TABLE acme_authorizations;
DROP TABLE acme_accounts;
