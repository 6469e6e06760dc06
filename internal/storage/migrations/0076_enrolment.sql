-- +goose Up

-- One-time passwords for enrolment. digest is the SHA-256 of the password, of which
-- nothing else is kept; spent_for is the SHA-256 of the CSR that it was used for, empty
-- before; everything else is sealed.
CREATE TABLE lifecycle_passcodes (
    id        TEXT   NOT NULL PRIMARY KEY,
    digest    TEXT   NOT NULL UNIQUE,
    expires   BIGINT NOT NULL,
    spent_for TEXT   NOT NULL,
    spent_at  BIGINT NOT NULL,
    revision  BIGINT NOT NULL,
    sealed    BYTEA  NOT NULL
);
CREATE INDEX lifecycle_passcodes_expires ON lifecycle_passcodes (expires);

-- What a client that has no account is waiting for: key is the hash of what it shows again
-- (door, profile, who, what), request the request of the direct road.
CREATE TABLE lifecycle_waiting (
    key     TEXT   NOT NULL PRIMARY KEY,
    request TEXT   NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX lifecycle_waiting_created ON lifecycle_waiting (created);

-- The keys by which SCEP decrypts, one for each authority, with their certificates.
CREATE TABLE lifecycle_registrars (
    authority TEXT   NOT NULL PRIMARY KEY,
    revision  BIGINT NOT NULL,
    sealed    BYTEA  NOT NULL
);
