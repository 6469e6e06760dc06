-- +goose Up

-- What must happen to an object of a vault at a time: a rotation, a renewal, a notice.
-- It follows from the sealed rows of the object and is checked against them before
-- anything is done, so nobody gains by changing it. due is the time that the object
-- says, next is when the engine looks at it: later after a failure, 0 when it is done.
CREATE TABLE dues (
    vault TEXT   NOT NULL,
    kind  TEXT   NOT NULL,
    name  TEXT   NOT NULL,
    what  TEXT   NOT NULL,
    due   BIGINT NOT NULL,
    next  BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (vault, kind, name, what)
);
CREATE INDEX dues_next ON dues (next) WHERE next > 0;

-- +goose Down
DROP TABLE dues;
