-- +goose Up

-- One row a certificate, wherever it was seen. Columns that end in _key are folded to
-- lower case by the program, because lower() differs between engines. Times that nobody
-- can read are 9223372036854775807, after all others. score is -1 until it is judged.
CREATE TABLE inventory_certificates (
    sha256            TEXT    NOT NULL PRIMARY KEY,
    spki              TEXT    NOT NULL,
    subject_hash      TEXT    NOT NULL,
    serial            TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    name_key          TEXT    NOT NULL,
    subject           TEXT    NOT NULL,
    subject_key       TEXT    NOT NULL,
    issuer            TEXT    NOT NULL,
    issuer_key        TEXT    NOT NULL,
    key_algorithm     TEXT    NOT NULL,
    key_parameters    TEXT    NOT NULL,
    key_size          BIGINT  NOT NULL,
    post_quantum      BOOLEAN NOT NULL,
    signature         TEXT    NOT NULL,
    not_before        BIGINT  NOT NULL,
    not_after         BIGINT  NOT NULL,
    expiring          BIGINT  NOT NULL,
    lifetime          BIGINT  NOT NULL,
    self_signed       BOOLEAN NOT NULL,
    wildcard          BOOLEAN NOT NULL,
    ca                BOOLEAN NOT NULL,
    parser            TEXT    NOT NULL,
    trust             TEXT    NOT NULL,
    score             BIGINT  NOT NULL,
    judged            BIGINT  NOT NULL,
    stage             TEXT    NOT NULL,
    owner             TEXT    NOT NULL,
    owner_key         TEXT    NOT NULL,
    lineage           TEXT    NOT NULL,
    revoked           BIGINT  NOT NULL,
    revocation_reason TEXT    NOT NULL,
    first_seen        BIGINT  NOT NULL,
    last_seen         BIGINT  NOT NULL
);
CREATE INDEX inventory_certificates_name ON inventory_certificates (name_key, sha256);
CREATE INDEX inventory_certificates_issuer ON inventory_certificates (issuer_key, sha256);
CREATE INDEX inventory_certificates_not_after ON inventory_certificates (not_after, sha256);
CREATE INDEX inventory_certificates_not_before ON inventory_certificates (not_before, sha256);
CREATE INDEX inventory_certificates_score ON inventory_certificates (score, sha256);
CREATE INDEX inventory_certificates_first_seen ON inventory_certificates (first_seen, sha256);
CREATE INDEX inventory_certificates_last_seen ON inventory_certificates (last_seen, sha256);
CREATE INDEX inventory_certificates_spki ON inventory_certificates (spki);
CREATE INDEX inventory_certificates_serial ON inventory_certificates (serial);
CREATE INDEX inventory_certificates_lineage ON inventory_certificates (lineage) WHERE lineage <> '';
CREATE INDEX inventory_certificates_issuers ON inventory_certificates (subject_hash, first_seen) WHERE ca;

-- The content stands apart, so that lists do not read it.
CREATE TABLE inventory_der (
    sha256 TEXT  NOT NULL PRIMARY KEY,
    der    BYTEA NOT NULL
);

-- Alternative names and extended key usages, folded, for filters alone.
CREATE TABLE inventory_names (
    sha256 TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (sha256, value)
);
CREATE INDEX inventory_names_value ON inventory_names (value);

CREATE TABLE inventory_usages (
    sha256 TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (sha256, value)
);
CREATE INDEX inventory_usages_value ON inventory_usages (value);

-- One row a certificate at a place. latest marks the newest certificate known there.
CREATE TABLE inventory_installations (
    place      TEXT    NOT NULL,
    sha256     TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    ip         TEXT    NOT NULL,
    port       BIGINT  NOT NULL,
    sni        TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    latest     BOOLEAN NOT NULL,
    state      TEXT    NOT NULL,
    first_seen BIGINT  NOT NULL,
    last_seen  BIGINT  NOT NULL,
    checked    BIGINT  NOT NULL,
    problem    TEXT    NOT NULL,
    campaign   TEXT    NOT NULL,
    run        TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    PRIMARY KEY (place, sha256)
);
CREATE UNIQUE INDEX inventory_installations_latest ON inventory_installations (place) WHERE latest;
CREATE INDEX inventory_installations_sha256 ON inventory_installations (sha256);
CREATE INDEX inventory_installations_host ON inventory_installations (host, sha256) WHERE latest;
CREATE INDEX inventory_installations_port ON inventory_installations (port, sha256) WHERE latest;
CREATE INDEX inventory_installations_state ON inventory_installations (state, sha256);
CREATE INDEX inventory_installations_source ON inventory_installations (source, checked);

CREATE TABLE inventory_history (
    place  TEXT   NOT NULL,
    at     BIGINT NOT NULL,
    sha256 TEXT   NOT NULL,
    state  TEXT   NOT NULL,
    run    TEXT   NOT NULL,
    PRIMARY KEY (place, at, sha256, state)
);
CREATE INDEX inventory_history_sha256 ON inventory_history (sha256, at);

CREATE TABLE inventory_findings (
    sha256   TEXT   NOT NULL,
    position BIGINT NOT NULL,
    rule     TEXT   NOT NULL,
    severity TEXT   NOT NULL,
    message  TEXT   NOT NULL,
    remedy   TEXT   NOT NULL,
    since    BIGINT NOT NULL,
    place    TEXT   NOT NULL,
    source   TEXT   NOT NULL,
    PRIMARY KEY (sha256, position)
);
CREATE INDEX inventory_findings_rule ON inventory_findings (rule, sha256);
