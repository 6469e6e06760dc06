package inventory

import (
	"errors"
	"time"
)

// The reader of DER in this file forgives what strict parsers refuse but the field
// contains: lengths that are not minimal, odd times, wrong string types. It
// never recurses and never allocates by a length that the input claims.

// Universal tags that occur in certificates; with the bits for class and constructed.
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagBitString   = 0x03
	tagOctetString = 0x04
	tagOID         = 0x06
	tagUTF8        = 0x0c
	tagNumeric     = 0x12
	tagPrintable   = 0x13
	tagT61         = 0x14
	tagIA5         = 0x16
	tagUTCTime     = 0x17
	tagGeneralized = 0x18
	tagVisible     = 0x1a
	tagUniversal   = 0x1c
	tagBMP         = 0x1e
	tagSequence    = 0x30
	tagSet         = 0x31
)

var (
	errTruncated  = errors.New("ends too early")
	errIndefinite = errors.New("indefinite length")
	errLength     = errors.New("impossible length")
	errTag        = errors.New("unexpected tag")
)

// tlv is one element: value without and raw with its header.
type tlv struct {
	tag        byte
	value, raw []byte
}

// next reads the first element of b and what follows it.
func next(b []byte) (t tlv, rest []byte, err error) {
	if len(b) < 2 {
		return t, nil, errTruncated
	}
	if b[0]&0x1f == 0x1f {
		return t, nil, errTag // no certificate uses tags above 30
	}
	n, header := int(b[1]), 2
	switch {
	case n == 0x80:
		return t, nil, errIndefinite
	case n > 0x84:
		return t, nil, errLength
	case n > 0x80:
		header += n - 0x80
		if len(b) < header {
			return t, nil, errTruncated
		}
		n = 0
		for _, x := range b[2:header] {
			n = n<<8 | int(x)
		}
	}
	if n > len(b)-header {
		return t, nil, errTruncated
	}
	return tlv{b[0], b[header : header+n], b[:header+n]}, b[header+n:], nil
}

// want reads the first element and insists on its tag.
func want(b []byte, tag byte) (t tlv, rest []byte, err error) {
	t, rest, err = next(b)
	if err == nil && t.tag != tag {
		err = errTag
	}
	return t, rest, err
}

// children reads elements until the end, an error, or limit. What was read before an
// error is returned with it.
func children(b []byte, limit int) (ts []tlv, err error) {
	for len(b) > 0 && len(ts) < limit {
		var t tlv
		if t, b, err = next(b); err != nil {
			return ts, err
		}
		ts = append(ts, t)
	}
	return ts, nil
}

var utcLayouts = []string{"060102150405Z", "0601021504Z", "060102150405-0700", "0601021504-0700", "060102150405"}

var generalizedLayouts = []string{
	"20060102150405Z", "20060102150405.999999999Z", "20060102150405-0700", "20060102150405",
	"200601021504Z", "2006010215Z", "20060102150405.999999999-0700",
}

// instant reads a UTCTime or GeneralizedTime, in the forms of X.680 and not only in those
// that RFC 5280 allows.
func instant(t tlv) (time.Time, error) {
	layouts, s := generalizedLayouts, string(t.value)
	switch t.tag {
	case tagUTCTime:
		layouts = utcLayouts
	case tagGeneralized:
	default:
		return time.Time{}, errTag
	}
	for _, l := range layouts {
		at, err := time.Parse(l, s)
		if err != nil {
			continue
		}
		if t.tag == tagUTCTime {
			at = century(at)
		}
		return at.UTC(), nil
	}
	return time.Time{}, errors.New("not a time")
}

// century applies RFC 5280 section 4.1.2.5.1: 50 to 99 are 19xx. Package time turns at 69.
func century(at time.Time) time.Time {
	if at.Year() >= 2050 {
		return at.AddDate(-100, 0, 0)
	}
	return at
}
