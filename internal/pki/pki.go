// Package pki is the floor of our own certification authorities:
//
//   - profile says what a certificate may look like,
//   - issuance makes certificates, on one road for every caller,
//   - authority keeps the CAs and their keys,
//   - revocation ends the trust in a certificate and publishes CRLs,
//   - ocsp answers whether one is revoked,
//   - signature knows how a key signs what these two say.
//
// The package itself holds the tests of the floor as a whole.
package pki
