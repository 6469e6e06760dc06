-- +goose Up

-- What happened, for webhooks and timelines. Rows are never changed, and go away by age.
CREATE TABLE events (
    id      TEXT   NOT NULL PRIMARY KEY,
    time    BIGINT NOT NULL,
    source  TEXT   NOT NULL,
    type    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    data    TEXT   NOT NULL
);
CREATE INDEX events_time ON events (time, id);
CREATE INDEX events_subject ON events (subject, time, id);
CREATE INDEX events_source ON events (source, time, id);

-- +goose Down
DROP TABLE events;
