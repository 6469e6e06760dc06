-- +goose Up

-- Vaults that change: live (0), deleted (1) or purging (2), when a deleted one goes for
-- good, and the generation of all vaults at the last change of this one's settings.
ALTER TABLE vaults ADD COLUMN state BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD COLUMN purge BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
CREATE INDEX vaults_states ON vaults (state, name);
CREATE INDEX vaults_generations ON vaults (generation, name);

-- One row: it grows with every change of a vault's settings, by which a node knows that
-- another has changed some.
CREATE TABLE vault_generation (
    id         BIGINT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
);
INSERT INTO vault_generation (id, generation) VALUES (1, 1);

-- +goose Down
DROP TABLE vault_generation;
DROP INDEX vaults_generations;
DROP INDEX vaults_states;
ALTER TABLE vaults DROP COLUMN generation;
ALTER TABLE vaults DROP COLUMN purge;
ALTER TABLE vaults DROP COLUMN state;
