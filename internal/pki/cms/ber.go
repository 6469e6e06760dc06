package cms

import (
	"encoding/asn1"

	"chatelaine.dev/internal/fault"
)

// maxDepth of nested values. Messages of SCEP have about twelve.
const maxDepth = 32

// DER rewrites BER with definite lengths, and octet strings in pieces as one (X.690
// sections 8.1.3, 8.7 and 10). It refuses what is deeper or larger than any message, so
// that parsers behind it need no limits of their own.
func DER(ber []byte) ([]byte, error) {
	if len(ber) > maxMessage {
		return nil, fault.New(fault.Invalid, "MessageTooLarge", "the message has more than %d bytes", maxMessage)
	}
	out, rest, err := value(ber, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errUnreadable()
	}
	return out, nil
}

// head is the identifier and the length of a value.
type head struct {
	tag        byte // identifier octet; tags above 30 are in no message
	size       int
	indefinite bool
}

func (h head) constructed() bool { return h.tag&0x20 != 0 }

func readHead(b []byte) (h head, rest []byte, err error) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return h, nil, errUnreadable()
	}
	h.tag = b[0]
	n := int(b[1])
	b = b[2:]
	switch {
	case n < 0x80:
		h.size = n
	case n == 0x80:
		h.indefinite = true
		if !h.constructed() {
			return h, nil, errUnreadable()
		}
	default:
		digits := n & 0x7f
		if digits > 4 || digits > len(b) {
			return h, nil, errUnreadable()
		}
		for _, d := range b[:digits] {
			h.size = h.size<<8 | int(d)
		}
		b = b[digits:]
	}
	if h.size > len(b) || h.size > maxMessage {
		return h, nil, errUnreadable()
	}
	return h, b, nil
}

// value rewrites the first value of b and returns what is behind it.
func value(b []byte, depth int) (out, rest []byte, err error) {
	h, b, err := readHead(b)
	if err != nil || depth > maxDepth {
		return nil, nil, errUnreadable()
	}
	if !h.constructed() {
		return appendValue(h.tag, b[:h.size]), b[h.size:], nil
	}
	inside, after := b[:h.size], b[h.size:]
	if h.indefinite {
		inside = b
	}
	pieces := h.tag == asn1.TagOctetString|0x20
	var content []byte
	for {
		if h.indefinite && len(inside) >= 2 && inside[0] == 0 && inside[1] == 0 {
			after = inside[2:]
			break
		}
		if len(inside) == 0 {
			if h.indefinite {
				return nil, nil, errUnreadable()
			}
			break
		}
		var child []byte
		if child, inside, err = value(inside, depth+1); err != nil {
			return nil, nil, err
		}
		if pieces {
			if child, err = octets(child); err != nil {
				return nil, nil, err
			}
		}
		content = append(content, child...)
	}
	if pieces {
		return appendValue(asn1.TagOctetString, content), after, nil
	}
	return appendValue(h.tag, content), after, nil
}

// octets are those of a primitive octet string in DER.
func octets(der []byte) ([]byte, error) {
	h, b, err := readHead(der)
	if err != nil || h.tag != asn1.TagOctetString {
		return nil, errUnreadable()
	}
	return b[:h.size], nil
}

// appendValue is a value in DER.
func appendValue(tag byte, content []byte) []byte {
	n := len(content)
	var out []byte
	switch {
	case n < 0x80:
		out = []byte{tag, byte(n)}
	case n < 1<<8:
		out = []byte{tag, 0x81, byte(n)}
	case n < 1<<16:
		out = []byte{tag, 0x82, byte(n >> 8), byte(n)}
	default:
		out = []byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	}
	return append(out, content...)
}
