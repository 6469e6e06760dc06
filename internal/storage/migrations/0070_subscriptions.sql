-- +goose Up

-- Who wants to be told of events at an address. The entry is sealed with its id and
-- revision: an address may hold a token, and the key that signs deliveries is in it.
-- name_key is the name in lower case.
CREATE TABLE event_subscriptions (
    id       TEXT   NOT NULL PRIMARY KEY,
    name_key TEXT   NOT NULL UNIQUE,
    revision BIGINT NOT NULL,
    sealed   BYTEA  NOT NULL
);

-- An event that a subscription is still to get, from the transaction of the event until
-- it was delivered. due is when it is tried next; a row that somebody is trying is due
-- when he must have ended, and holder tells which process he is. died is when it was
-- given up, 0 before: dead letters stay until they are sent again, or too many or too old.
-- No foreign keys: they would cost each event a look-up, and a removed subscription must
-- not fail the change that causes an event.
CREATE TABLE event_deliveries (
    subscription TEXT   NOT NULL,
    event        TEXT   NOT NULL,
    since        BIGINT NOT NULL,
    due          BIGINT NOT NULL,
    tries        BIGINT NOT NULL,
    holder       TEXT   NOT NULL,
    died         BIGINT NOT NULL,
    problem      TEXT   NOT NULL,
    PRIMARY KEY (subscription, event)
);
CREATE INDEX event_deliveries_due ON event_deliveries (subscription, due, event) WHERE died = 0;
CREATE INDEX event_deliveries_died ON event_deliveries (subscription, died, event) WHERE died > 0;

-- +goose Down
DROP TABLE event_deliveries;
DROP TABLE event_subscriptions;
