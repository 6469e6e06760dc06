-- +goose Up

-- The audit trail, one row a commit: the records that were committed together, as lines
-- of canonical JSON, chained by hash from first to last. hash is that of the last one,
-- time that of the newest. terms is a Bloom filter of what the records can be found by;
-- where it is empty the body has to be read.
CREATE TABLE trail (
    first BIGINT NOT NULL PRIMARY KEY,
    last  BIGINT NOT NULL,
    time  BIGINT NOT NULL,
    terms BYTEA  NOT NULL,
    hash  BYTEA  NOT NULL,
    body  TEXT   NOT NULL
);
INSERT INTO trail (first, last, time, terms, hash, body)
    SELECT sequence, sequence, time, CAST('' AS BYTEA), hash, body FROM audit;
DROP TABLE audit;
DROP TABLE audit_head; -- the last row is the head
