-- +goose Up

-- Profiles that operators made. A row is sealed with its name and revision. The
-- generation is another number after every change of any of them.
CREATE TABLE pki_profiles (
    name     TEXT   NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);
CREATE TABLE pki_profile_generation (
    id         BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
);
INSERT INTO pki_profile_generation (id, generation) VALUES (1, 0);

-- Issuance audits: each lints again everything that was issued before it began. cursor is
-- the place that it has come to, in the words of the list of certificates.
CREATE TABLE pki_reviews (
    id       TEXT   NOT NULL PRIMARY KEY,
    state    TEXT   NOT NULL,
    queued   BIGINT NOT NULL,
    started  BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    total    BIGINT NOT NULL,
    checked  BIGINT NOT NULL,
    found    BIGINT NOT NULL,
    place    TEXT   NOT NULL,
    problem  TEXT   NOT NULL,
    asked_by TEXT   NOT NULL
);
CREATE INDEX pki_reviews_queued ON pki_reviews (queued, id);

-- What an audit found: one row for each certificate and rule.
CREATE TABLE pki_review_findings (
    review    TEXT NOT NULL,
    serial    TEXT NOT NULL,
    rule      TEXT NOT NULL,
    authority TEXT NOT NULL,
    profile   TEXT NOT NULL,
    subject   TEXT NOT NULL,
    detail    TEXT NOT NULL,
    PRIMARY KEY (review, serial, rule)
);

-- +goose Down
DROP TABLE pki_review_findings;
DROP TABLE pki_reviews;
DROP TABLE pki_profile_generation;
DROP TABLE pki_profiles;
