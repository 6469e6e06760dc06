// Package list writes CRLs (RFC 5280 section 5). It keeps the entries of a list encoded
// and in order, so that the next list costs what has changed, one copy and one hash:
// crypto/x509 encodes all of them every time.
package list

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

// RemoveFromCRL is the reason of an entry of a delta that takes a hold away.
const RemoveFromCRL = 8

// Entry is one revoked certificate.
type Entry struct {
	Serial       []byte // big-endian, positive, at most MaxSerial bytes
	RevokedAt    time.Time
	Reason       int       // RFC 5280 section 5.3.1; 0 is left out
	InvalidSince time.Time // when its key is thought to have been compromised; zero: not known
}

// MaxSerial is the longest serial in bytes: RFC 5280 allows 20, and an entry must stay
// below 128 bytes, so that one byte tells its length.
const MaxSerial = 32

// Entries are encoded entries, sorted by serial. The zero value has none. They are never
// changed: With makes others.
type Entries struct {
	der    []byte
	count  int
	latest time.Time // of all dates of revocation
}

// Len is how many there are.
func (e Entries) Len() int { return e.count }

// Size is how many bytes they take.
func (e Entries) Size() int { return len(e.der) }

// Latest is the youngest date of revocation that was ever added.
func (e Entries) Latest() time.Time { return e.latest }

// Change adds or replaces an entry, or removes the one with its serial.
type Change struct {
	Entry
	Gone bool
}

// With returns the entries after changes, of which the last counts when there are several
// for one serial. It walks over what is there once and copies it in runs.
func (e Entries) With(changes []Change) (Entries, error) {
	sorted := slices.Clone(changes)
	for i, c := range sorted {
		if sorted[i].Serial = bytes.TrimLeft(c.Serial, "\x00"); len(sorted[i].Serial) == 0 || len(sorted[i].Serial) > MaxSerial {
			return Entries{}, fmt.Errorf("a serial of %d bytes cannot be on a list", len(c.Serial))
		}
	}
	slices.SortStableFunc(sorted, func(a, b Change) int { return compare(a.Serial, b.Serial) })
	next := Entries{der: make([]byte, 0, len(e.der)+len(sorted)*entrySize), count: e.count, latest: e.latest}
	from, at := 0, 0 // copied up to, looked at
	for i, c := range sorted {
		if i+1 < len(sorted) && bytes.Equal(c.Serial, sorted[i+1].Serial) {
			continue
		}
		var length int
		for at < len(e.der) {
			var serial []byte
			if serial, length = first(e.der[at:]); compare(serial, c.Serial) >= 0 {
				if !bytes.Equal(serial, c.Serial) {
					length = 0
				}
				break
			}
			at, length = at+length, 0
		}
		next.der = append(next.der, e.der[from:at]...)
		if length > 0 {
			next.count--
		}
		at += length
		from = at
		if !c.Gone {
			next.der = appendEntry(next.der, c.Entry)
			next.count++
			if c.RevokedAt.After(next.latest) {
				next.latest = c.RevokedAt
			}
		}
	}
	next.der = append(next.der, e.der[from:]...)
	return next, nil
}

// Builder takes the entries of a table of any size. They are best added in the order of
// their serials, and sorted at the end if they were not.
type Builder struct {
	e        Entries
	last     []byte
	unsorted bool
}

// Add adds an entry, whose serial must be new.
func (b *Builder) Add(e Entry) error {
	if len(e.Serial) == 0 || len(e.Serial) > MaxSerial || e.Serial[0] == 0 {
		return fmt.Errorf("serial %x cannot be on a list", e.Serial)
	}
	b.unsorted = b.unsorted || compare(b.last, e.Serial) >= 0
	b.last = append(b.last[:0], e.Serial...)
	b.e.der = appendEntry(b.e.der, e)
	b.e.count++
	if e.RevokedAt.After(b.e.latest) {
		b.e.latest = e.RevokedAt
	}
	return nil
}

// Entries returns what was added.
func (b *Builder) Entries() Entries {
	if !b.unsorted {
		return b.e
	}
	each := make([][]byte, 0, b.e.count)
	for rest := b.e.der; len(rest) > 0; {
		_, n := first(rest)
		each, rest = append(each, rest[:n]), rest[n:]
	}
	slices.SortFunc(each, func(x, y []byte) int {
		a, _ := first(x)
		b, _ := first(y)
		return compare(a, b)
	})
	e := b.e
	e.der = bytes.Join(each, nil)
	return e
}

// entrySize is about what one takes: a serial of 16 bytes, a date and a reason.
const entrySize = 48

// compare orders serials, which have no leading zeros, as numbers.
func compare(a, b []byte) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return bytes.Compare(a, b)
}

// first returns the serial and the length of the entry that comes first.
func first(der []byte) (serial []byte, length int) {
	serial = der[4 : 4+int(der[3])] // SEQUENCE, length, INTEGER, length
	if serial[0] == 0 {
		serial = serial[1:]
	}
	return serial, 2 + int(der[1])
}

// appendEntry encodes an element of revokedCertificates. Its length always fits in a byte.
func appendEntry(out []byte, e Entry) []byte {
	start := len(out)
	out = append(out, 0x30, 0)
	pad := e.Serial[0] >> 7
	out = append(append(append(out, 2, byte(len(e.Serial))+pad), make([]byte, pad)...), e.Serial...)
	out = appendTime(out, e.RevokedAt)
	if e.Reason != 0 || !e.InvalidSince.IsZero() {
		extensions := len(out)
		out = append(out, 0x30, 0)
		if e.Reason != 0 { // reasonCode, section 5.3.1
			out = append(out, 0x30, 10, 6, 3, 0x55, 0x1d, 0x15, 4, 3, 0x0a, 1, byte(e.Reason))
		}
		if !e.InvalidSince.IsZero() { // invalidityDate, section 5.3.2: always GeneralizedTime
			out = append(out, 0x30, 24, 6, 3, 0x55, 0x1d, 0x18, 4, 17, 0x18, 15)
			out = e.InvalidSince.UTC().AppendFormat(out, generalized)
		}
		out[extensions+1] = byte(len(out) - extensions - 2)
	}
	out[start+1] = byte(len(out) - start - 2)
	return out
}

const (
	generalized = "20060102150405Z"
	utc         = "060102150405Z"
)

// appendTime writes a Time: UTCTime through 2049, GeneralizedTime from then on (section 5.1.2.4).
func appendTime(out []byte, t time.Time) []byte {
	t = t.UTC()
	if t.Year() >= 1950 && t.Year() < 2050 {
		return t.AppendFormat(append(out, 0x17, 13), utc)
	}
	return t.AppendFormat(append(out, 0x18, 15), generalized)
}
