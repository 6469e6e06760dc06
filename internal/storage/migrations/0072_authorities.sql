-- +goose Up

-- above are the certificates over an authority that another installation or a CA of
-- somebody else has signed, DER after DER, the root last; NULL when parent says it.
-- successor issues in the place of a superseded authority.
ALTER TABLE pki_authorities ADD COLUMN above BYTEA;
ALTER TABLE pki_authorities ADD COLUMN successor TEXT NOT NULL DEFAULT '';

-- Authorities whose certificate is still to come from outside. request is their CSR.
CREATE TABLE pki_pending_authorities (
    id         TEXT   NOT NULL PRIMARY KEY,
    subject    TEXT   NOT NULL,
    request    BYTEA  NOT NULL,
    keystore   TEXT   NOT NULL,
    sealed_key BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);

-- Further certificates of an authority's name and key: by another authority of ours
-- (issuer), or from outside (above). Each opens another way up.
CREATE TABLE pki_cross_certificates (
    sha256      TEXT   NOT NULL PRIMARY KEY,
    authority   TEXT   NOT NULL,
    issuer      TEXT   NOT NULL,
    serial      TEXT   NOT NULL,
    certificate BYTEA  NOT NULL,
    above       BYTEA,
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX pki_cross_certificates_authority ON pki_cross_certificates (authority, sha256);

-- +goose Down
DROP TABLE pki_cross_certificates;
DROP TABLE pki_pending_authorities;
ALTER TABLE pki_authorities DROP COLUMN successor;
ALTER TABLE pki_authorities DROP COLUMN above;
