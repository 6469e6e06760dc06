// Package ocsp answers whether a certificate of ours is revoked (RFC 6960, RFC 5019, RFC
// 9654). It has its own encoding, because golang.org/x/crypto/ocsp knows neither ML-DSA
// nor several certificates in one request.
//
// What a serial is answered with:
//
//   - issued: good. Also after its expiry, for signatures that are older.
//   - revoked or on hold: revoked, with date and reason.
//   - allocated, but not issued (the process stopped on the way, or a lint refused it): it
//     may have been signed, so it is not good. RFC 6960 section 2.2 has an answer for it:
//     revoked since 1970 with the reason certificateHold and the extension
//     extended-revoke. The Baseline Requirements (section 4.9.10) forbid "good" here.
//   - never allocated, or of another issuer: unknown. It is not kept, and says so.
package ocsp

import (
	"context"
	"time"
)

// The limits.
const (
	MaxRequest = 16 << 10 // bytes of a request
	maxAsked   = 20       // certificates in one request
	maxNonce   = 128      // bytes, RFC 9654 section 2.1
	maxSerial  = 32       // bytes
)

// The life of an answer. Servers that staple fetch it anew after half of it; caches are
// told less, see serve/status. The Baseline Requirements want 8 hours to 10 days.
const (
	lifetime = 24 * time.Hour
	renewal  = lifetime / 2
)

// Status is what is known of a serial.
type Status struct {
	Issued       bool      // signed and handed out
	RevokedAt    time.Time // zero: not revoked
	Reason       int       // RFC 5280 section 5.3.1
	InvalidSince time.Time // zero: not known
}

// Store tells about serials.
type Store interface {
	// SerialStatus returns the status of an allocated serial, in hex, or fault.NotFound.
	SerialStatus(ctx context.Context, authority, serial string) (Status, error)
	// SerialChanges returns up to limit serials whose revocation changed after the
	// authority's count was since, and what the count was at the last of them: limit many
	// means that there may be more.
	SerialChanges(ctx context.Context, authority string, since int64, limit int) (serials []string, count int64, err error)
	// Revocations returns an authority's count of changes, or fault.NotFound.
	Revocations(ctx context.Context, authority string) (int64, error)
}

// Answer is a response as it is sent.
type Answer struct {
	DER        []byte
	ThisUpdate time.Time
	NextUpdate time.Time // zero: nobody may keep it
	Tag        string    // identifies DER, for caches; empty with NextUpdate
	// Cause is why the answer is an error; nil for one that says something of a certificate.
	Cause error
}

// responseStatus of RFC 6960 section 4.2.1.
type responseStatus byte

const (
	malformedRequest responseStatus = 1
	internalError    responseStatus = 2
	tryLater         responseStatus = 3
	unauthorized     responseStatus = 6
)

// refuse is an answer without a signature.
func refuse(s responseStatus, cause error) Answer {
	return Answer{DER: []byte{0x30, 3, 0x0a, 1, byte(s)}, Cause: cause}
}
