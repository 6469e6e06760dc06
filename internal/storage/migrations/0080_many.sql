-- +goose Up

-- Questions that looked at every certificate until now: what an authority issued by a
-- profile, what a key is in, and the few that failed or are revoked.
CREATE INDEX pki_certificates_profile ON pki_certificates (authority, profile, created_at, serial);
CREATE INDEX pki_certificates_key ON pki_certificates (key_sha256);
CREATE INDEX pki_certificates_state_failed ON pki_certificates (authority, created_at, serial) WHERE state = 'failed';
CREATE INDEX pki_certificates_state_revoked ON pki_certificates (authority, created_at, serial) WHERE state = 'revoked';

-- All that a CRL says of a certificate, so that reading its entries does not look for each
-- certificate in the table.
DROP INDEX pki_certificates_revoked;
CREATE INDEX pki_certificates_revoked ON pki_certificates (authority, serial, not_after, revocation, revoked_at, reason, invalid_since) WHERE revocation > 0;

-- The requests of a kind.
CREATE INDEX lifecycle_requests_kind ON lifecycle_requests (kind, id);

-- The order that lists have unless they are told otherwise, and what was seen of late, both
-- with all that is counted often: such counts and filters read the index and not the table.
DROP INDEX inventory_certificates_not_after;
CREATE INDEX inventory_certificates_not_after ON inventory_certificates
    (not_after, sha256, not_before, expiring, revoked, ca, stage, last_seen, trust, lifetime, owner_key, key_size);
DROP INDEX inventory_certificates_last_seen;
CREATE INDEX inventory_certificates_last_seen ON inventory_certificates
    (last_seen, sha256, ca, stage, owner_key, trust, lifetime, not_after, not_before, revoked);
CREATE INDEX inventory_certificates_owner ON inventory_certificates (owner_key, not_after, sha256) WHERE owner_key <> '';
CREATE INDEX inventory_certificates_revoked ON inventory_certificates (not_after, sha256) WHERE revoked <> 0;

-- The places of a source in their order, and whether a certificate is at any.
CREATE INDEX inventory_installations_place ON inventory_installations (source, place) WHERE latest;
DROP INDEX inventory_installations_sha256;
CREATE INDEX inventory_installations_sha256 ON inventory_installations (sha256, state, latest);

-- How bad it is that certificates fail a rule.
DROP INDEX inventory_findings_rule;
CREATE INDEX inventory_findings_rule ON inventory_findings (rule, sha256, severity);

-- Of the signed notes about the trail, of which there was one every ten seconds, the last of
-- each hour stays.
DELETE FROM audit_checkpoints WHERE sequence NOT IN (SELECT MAX(sequence) FROM audit_checkpoints GROUP BY time / 3600000000);

-- +goose Down
DROP INDEX inventory_findings_rule;
CREATE INDEX inventory_findings_rule ON inventory_findings (rule, sha256);
DROP INDEX inventory_installations_sha256;
CREATE INDEX inventory_installations_sha256 ON inventory_installations (sha256);
DROP INDEX inventory_installations_place;
DROP INDEX inventory_certificates_revoked;
DROP INDEX inventory_certificates_owner;
DROP INDEX inventory_certificates_last_seen;
CREATE INDEX inventory_certificates_last_seen ON inventory_certificates (last_seen, sha256);
DROP INDEX inventory_certificates_not_after;
CREATE INDEX inventory_certificates_not_after ON inventory_certificates (not_after, sha256);
DROP INDEX lifecycle_requests_kind;
DROP INDEX pki_certificates_revoked;
CREATE INDEX pki_certificates_revoked ON pki_certificates (authority, serial) WHERE revocation > 0;
DROP INDEX pki_certificates_state_revoked;
DROP INDEX pki_certificates_state_failed;
DROP INDEX pki_certificates_key;
DROP INDEX pki_certificates_profile;
