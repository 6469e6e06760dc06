-- +goose Up

-- partitions is in how many parts the CRL of an authority is published besides the whole
-- one; it only grows. part is that of a certificate, 1 to partitions at its time, or 0 when
-- only the whole list has it. invalid_since is when its key is thought to have been
-- compromised, 0 when nobody said.
ALTER TABLE pki_authorities ADD COLUMN partitions BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pki_certificates ADD COLUMN part BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pki_certificates ADD COLUMN invalid_since BIGINT NOT NULL DEFAULT 0;
CREATE INDEX pki_certificates_parts ON pki_certificates (authority, part, serial) WHERE revocation > 0;
CREATE INDEX pki_certificates_changes ON pki_certificates (authority, revocation) WHERE revocation > 0;

-- Holds that were released: change is the authority's count at that time.
CREATE TABLE pki_releases (
    authority TEXT   NOT NULL,
    change    BIGINT NOT NULL,
    serial    TEXT   NOT NULL,
    PRIMARY KEY (authority, change)
);

-- base is the number of the whole list from which deltas go on, base_covers what it
-- covered, base_at its thisUpdate. 0: there is none yet.
ALTER TABLE pki_crls ADD COLUMN base BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pki_crls ADD COLUMN base_covers BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pki_crls ADD COLUMN base_at BIGINT NOT NULL DEFAULT 0;

-- The delta (part 'delta') and the parts ('1', '2', …) that were published with the whole list.
CREATE TABLE pki_partial_crls (
    authority   TEXT   NOT NULL,
    part        TEXT   NOT NULL,
    number      BIGINT NOT NULL,
    covers      BIGINT NOT NULL,
    entries     BIGINT NOT NULL,
    sha256      TEXT   NOT NULL,
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    der         BYTEA  NOT NULL,
    PRIMARY KEY (authority, part)
);

-- Bulk revocations and what each hits. state: running, done, stopped.
CREATE TABLE pki_sweeps (
    id            TEXT   NOT NULL PRIMARY KEY,
    selection     TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    invalid_since BIGINT NOT NULL,
    state         TEXT   NOT NULL,
    total         BIGINT NOT NULL,
    revoked       BIGINT NOT NULL,
    skipped       BIGINT NOT NULL,
    requester     TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL
);
CREATE TABLE pki_sweep_items (
    sweep     TEXT   NOT NULL,
    authority TEXT   NOT NULL,
    serial    TEXT   NOT NULL,
    PRIMARY KEY (sweep, serial)
);

-- +goose Down
DROP TABLE pki_sweep_items;
DROP TABLE pki_sweeps;
DROP TABLE pki_partial_crls;
ALTER TABLE pki_crls DROP COLUMN base_at;
ALTER TABLE pki_crls DROP COLUMN base_covers;
ALTER TABLE pki_crls DROP COLUMN base;
DROP TABLE pki_releases;
DROP INDEX pki_certificates_changes;
DROP INDEX pki_certificates_parts;
ALTER TABLE pki_certificates DROP COLUMN invalid_since;
ALTER TABLE pki_certificates DROP COLUMN part;
ALTER TABLE pki_authorities DROP COLUMN partitions;
