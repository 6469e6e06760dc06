-- +goose Up

-- Our own certification authorities. sealed_key is sealed by the pki floor; revocations
-- counts the revocations of certificates that the authority signed.
CREATE TABLE pki_authorities (
    id          TEXT   NOT NULL PRIMARY KEY,
    parent      TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    certificate BYTEA  NOT NULL,
    serial      TEXT   NOT NULL,
    sha256      TEXT   NOT NULL UNIQUE,
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    keystore    TEXT   NOT NULL,
    sealed_key  BYTEA  NOT NULL,
    state       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    revocations BIGINT NOT NULL
);

-- Every certificate that was or may have been signed, written before the signature.
-- tbs is what is to be signed, until der, which contains it, is there. sha256 and
-- request are NULL when there is none; revocation is the authority's count when this one was
-- revoked, 0 before.
CREATE TABLE pki_certificates (
    serial     TEXT   NOT NULL PRIMARY KEY,
    authority  TEXT   NOT NULL,
    sha256     TEXT   UNIQUE,
    request    TEXT,
    profile    TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    names      TEXT   NOT NULL,
    key_sha256 TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    not_before BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    tbs        BYTEA,
    der        BYTEA,
    created_at BIGINT NOT NULL,
    issued_at  BIGINT NOT NULL,
    requester  TEXT   NOT NULL,
    failure    TEXT   NOT NULL,
    revoked_at BIGINT NOT NULL,
    reason     TEXT   NOT NULL,
    revocation BIGINT NOT NULL
);
-- A request is answered by one certificate.
CREATE UNIQUE INDEX pki_certificates_request ON pki_certificates (request) WHERE request IS NOT NULL AND sha256 IS NOT NULL;
CREATE INDEX pki_certificates_newest ON pki_certificates (created_at, serial);
CREATE INDEX pki_certificates_authority ON pki_certificates (authority, created_at, serial);
CREATE INDEX pki_certificates_revoked ON pki_certificates (authority, serial) WHERE revocation > 0;

-- The published CRL of each authority.
CREATE TABLE pki_crls (
    authority   TEXT   NOT NULL PRIMARY KEY,
    number      BIGINT NOT NULL,
    covers      BIGINT NOT NULL,
    entries     BIGINT NOT NULL,
    sha256      TEXT   NOT NULL,
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    der         BYTEA  NOT NULL
);

