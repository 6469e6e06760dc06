-- +goose Up

-- draft is what people set, as JSON. next is 0 for a campaign that does not run by itself.
CREATE TABLE campaigns (
    id       TEXT   NOT NULL PRIMARY KEY,
    name     TEXT   NOT NULL,
    name_key TEXT   NOT NULL UNIQUE,
    draft    TEXT   NOT NULL,
    next     BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    updated  BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX campaigns_next ON campaigns (next) WHERE next > 0;

CREATE TABLE campaign_runs (
    id          TEXT   NOT NULL PRIMARY KEY,
    campaign    TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    queued      BIGINT NOT NULL,
    started     BIGINT NOT NULL,
    finished    BIGINT NOT NULL,
    total       BIGINT NOT NULL,
    done        BIGINT NOT NULL,
    position    BIGINT NOT NULL,
    found       BIGINT NOT NULL,
    fresh       BIGINT NOT NULL,
    changed     BIGINT NOT NULL,
    unreachable BIGINT NOT NULL,
    problem     TEXT   NOT NULL
);
CREATE UNIQUE INDEX campaign_runs_one ON campaign_runs (campaign) WHERE state IN ('queued', 'running');
CREATE INDEX campaign_runs_campaign ON campaign_runs (campaign, queued);
CREATE INDEX campaign_runs_queued ON campaign_runs (queued);
