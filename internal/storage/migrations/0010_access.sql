-- +goose Up

-- Principals, credentials, assignments and signing keys. What an entry says is sealed, and
-- the state's seal holds the sum of all entries, so neither table can be changed behind
-- the program's back without notice.
CREATE TABLE access_entries (
    kind     TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE access_state (
    id         BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL,
    sealed     BYTEA  NOT NULL
);

-- Sign-in links and console sessions, by the SHA-256 of what the browser holds. Whose they
-- are and until when is sealed; principal and expires are copies to delete by.
CREATE TABLE access_links (
    hash    BYTEA  NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL,
    used    BOOLEAN NOT NULL,
    sealed  BYTEA  NOT NULL
);
CREATE INDEX access_links_expires ON access_links (expires);

CREATE TABLE access_sessions (
    hash      BYTEA  NOT NULL PRIMARY KEY,
    principal TEXT   NOT NULL,
    expires   BIGINT NOT NULL,
    seen      BIGINT NOT NULL,
    sealed    BYTEA  NOT NULL
);
CREATE INDEX access_sessions_expires ON access_sessions (expires);
CREATE INDEX access_sessions_principal ON access_sessions (principal);

