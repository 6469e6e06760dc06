-- +goose Up

-- Questions that read every certificate until now. What an authority issued by a profile,
-- what a key is in, and the few that were never issued or are revoked.
CREATE INDEX pki_certificates_profile ON pki_certificates (authority, profile, created_at, serial);
CREATE INDEX pki_certificates_key ON pki_certificates (key_sha256);
CREATE INDEX pki_certificates_unissued ON pki_certificates (authority, created_at, serial) WHERE sha256 IS NULL;
CREATE INDEX pki_certificates_revoked_newest ON pki_certificates (authority, created_at, serial) WHERE revocation > 0;

-- All that a CRL says of a certificate, so that reading its entries does not look for each
-- certificate in the table.
DROP INDEX pki_certificates_revoked;
CREATE INDEX pki_certificates_revoked ON pki_certificates (authority, serial, not_after, revocation, revoked_at, reason, invalid_since) WHERE revocation > 0;

-- The requests of a kind.
CREATE INDEX lifecycle_requests_kind ON lifecycle_requests (kind, id);

-- The order that lists have unless they are told otherwise, with all that is counted often:
-- most counts and filters read this index and not the table.
DROP INDEX inventory_certificates_not_after;
CREATE INDEX inventory_certificates_not_after ON inventory_certificates
    (not_after, sha256, not_before, expiring, revoked, ca, stage, last_seen, trust, lifetime, owner_key, key_size);
CREATE INDEX inventory_certificates_owner ON inventory_certificates (owner_key, not_after, sha256) WHERE owner_key <> '';
CREATE INDEX inventory_certificates_revoked ON inventory_certificates (not_after, sha256) WHERE revoked <> 0;

-- The places of a source, in their order.
CREATE INDEX inventory_installations_place ON inventory_installations (source, place) WHERE latest;

-- +goose Down
DROP INDEX inventory_installations_place;
DROP INDEX inventory_certificates_revoked;
DROP INDEX inventory_certificates_owner;
DROP INDEX inventory_certificates_not_after;
CREATE INDEX inventory_certificates_not_after ON inventory_certificates (not_after, sha256);
DROP INDEX lifecycle_requests_kind;
DROP INDEX pki_certificates_revoked;
CREATE INDEX pki_certificates_revoked ON pki_certificates (authority, serial) WHERE revocation > 0;
DROP INDEX pki_certificates_revoked_newest;
DROP INDEX pki_certificates_unissued;
DROP INDEX pki_certificates_key;
DROP INDEX pki_certificates_profile;
