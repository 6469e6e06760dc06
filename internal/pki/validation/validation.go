// Package validation is the floor on which somebody shows that a name is theirs:
//
//   - resolver asks the DNS,
//   - caa reads what the owner of a name allows (RFC 8659, RFC 8657),
//   - challenge performs the challenges of ACME (RFC 8555 section 8, RFC 8737, RFC 8738).
//
// Whom the packages reach is decided by the dialer that they are given.
package validation
