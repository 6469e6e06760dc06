-- +goose Up

-- Every change of an object writes an event, so the log has no index that few questions
-- would use: it is read from its newest end.
DROP INDEX events_subject;
DROP INDEX events_source;

-- +goose Down
CREATE INDEX events_subject ON events (subject, time, id);
CREATE INDEX events_source ON events (source, time, id);
