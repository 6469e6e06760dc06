-- +goose Up

-- A key that was revoked as compromised is certified by nobody again. There are few of them.
CREATE INDEX pki_certificates_compromised ON pki_certificates (key_sha256) WHERE reason = 'keyCompromise';

-- +goose Down
DROP INDEX pki_certificates_compromised;
