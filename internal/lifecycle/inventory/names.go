package inventory

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

const (
	maxNames = 1000 // alternative names that are kept; the others are counted
	maxParts = 64   // parts of a distinguished name
	maxText  = 2048 // bytes of one text
)

// clean makes a stranger's text safe to store and to show: valid UTF-8 (PostgreSQL takes
// nothing else, and no zero byte), no control characters (a line feed would forge a log line),
// no direction marks (they make a name look like another), at most maxText bytes.
func clean(s string) string {
	plain := func(r rune) bool {
		return r != utf8.RuneError && !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r)
	}
	if len(s) <= maxText && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if b.Len() > maxText-12 {
			b.WriteString("…")
			break
		}
		switch {
		case plain(r):
			b.WriteRune(r)
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// text decodes a string of any ASN.1 type. What the type forbids is read as Latin-1,
// because that is what its writer mostly meant.
func text(t tlv) string {
	v := t.value
	switch t.tag {
	case tagBMP:
		u := make([]uint16, 0, len(v)/2)
		for ; len(v) > 1 && len(u) <= maxText; v = v[2:] {
			u = append(u, uint16(v[0])<<8|uint16(v[1]))
		}
		return clean(string(utf16.Decode(u)))
	case tagUniversal:
		var rs []rune
		for ; len(v) > 3 && len(rs) <= maxText; v = v[4:] {
			rs = append(rs, rune(uint32(v[0])<<24|uint32(v[1])<<16|uint32(v[2])<<8|uint32(v[3])))
		}
		return clean(string(rs))
	case tagUTF8, tagNumeric, tagPrintable, tagT61, tagIA5, tagVisible, 0x1b: // 0x1b: GeneralString
		return clean(latin(v))
	}
	return fmt.Sprintf("#%x", t.raw[:min(len(t.raw), maxText/4)])
}

// latin is b as UTF-8, or as Latin-1 where it is not.
func latin(b []byte) string {
	b = b[:min(len(b), 2*maxText)]
	if utf8.Valid(b) || len(b) == 2*maxText {
		return string(b)
	}
	rs := make([]rune, len(b))
	for i, x := range b {
		rs[i] = rune(x)
	}
	return string(rs)
}

// attributeNames are the short names of RFC 4514 section 3 and those in common use.
func attributeName(oid string) string {
	switch oid {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.4":
		return "SN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "street"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.12":
		return "title"
	case "2.5.4.15":
		return "businessCategory"
	case "2.5.4.17":
		return "postalCode"
	case "2.5.4.42":
		return "GN"
	case "2.5.4.46":
		return "dnQualifier"
	case "2.5.4.97":
		return "organizationIdentifier"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	case "1.3.6.1.4.1.311.60.2.1.1":
		return "jurisdictionL"
	case "1.3.6.1.4.1.311.60.2.1.2":
		return "jurisdictionST"
	case "1.3.6.1.4.1.311.60.2.1.3":
		return "jurisdictionC"
	}
	return oid
}

// distinguished reads a Name (without its header) into its parts, in the order of the encoding.
func distinguished(b []byte) ([]Attribute, error) {
	sets, err := children(b, maxParts)
	if err != nil {
		return nil, err
	}
	var parts []Attribute
	for _, set := range sets {
		attributes, err := children(set.value, maxParts)
		if err != nil || set.tag != tagSet {
			return parts, errTag
		}
		for _, a := range attributes {
			oid, rest, err := want(a.value, tagOID)
			if err != nil {
				return parts, err
			}
			value, _, err := next(rest)
			if err != nil {
				return parts, err
			}
			if len(parts) < maxParts {
				parts = append(parts, Attribute{attributeName(oidString(oid.value)), text(value)})
			}
		}
	}
	return parts, nil
}

// format writes a distinguished name as RFC 4514 does: the last part first.
func format(parts []Attribute) string {
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(parts[i].Type)
		b.WriteByte('=')
		b.WriteString(escape(parts[i].Value))
	}
	return clean(b.String())
}

func escape(s string) string {
	if s == "" {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		edge := i == 0 || i == len(s)-1
		if strings.ContainsRune(`,+"\<>;`, r) || r == ' ' && edge || r == '#' && i == 0 {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// generalName reads one GeneralName (RFC 5280 section 4.2.1.6).
func generalName(t tlv) (Name, error) {
	switch t.tag {
	case 0x81:
		return Name{Kind: Email, Value: clean(latin(t.value))}, nil
	case 0x82:
		return dnsName(string(t.value)), nil
	case 0x86:
		return Name{Kind: URI, Value: clean(latin(t.value))}, nil
	case 0x87:
		if a, ok := netip.AddrFromSlice(t.value); ok {
			return Name{Kind: IP, Value: a.String()}, nil
		}
		return Name{Kind: Other, Value: fmt.Sprintf("ip:%x", t.value[:min(len(t.value), 64)])}, errLength
	case 0xa4:
		seq, _, err := want(t.value, tagSequence)
		if err != nil {
			return Name{}, err
		}
		parts, err := distinguished(seq.value)
		return Name{Kind: Directory, Value: format(parts)}, err
	case 0x88:
		return Name{Kind: Other, Value: "rid:" + oidString(t.value)}, nil
	case 0xa0:
		return otherName(t.value)
	}
	return Name{Kind: Other, Value: fmt.Sprintf("#%x", t.raw[:min(len(t.raw), maxText/4)])}, nil
}

// dnsName keeps the name as it is but in lower case, and adds the readable form.
func dnsName(s string) Name {
	n := Name{Kind: DNS, Value: strings.ToLower(clean(s))}
	if strings.Contains(n.Value, "xn--") && len(n.Value) < 256 {
		if u, err := idna.Punycode.ToUnicode(n.Value); err == nil && u != n.Value {
			n.Unicode = clean(u)
		}
	}
	return n
}

func otherName(b []byte) (Name, error) {
	oid, rest, err := want(b, tagOID)
	if err != nil {
		return Name{}, err
	}
	wrapped, _, err := next(rest)
	if err != nil {
		return Name{}, err
	}
	value, _, err := next(wrapped.value)
	if err != nil {
		return Name{}, err
	}
	switch id := oidString(oid.value); id {
	case "1.3.6.1.4.1.311.20.2.3":
		return Name{Kind: UPN, Value: text(value)}, nil
	case "1.3.6.1.4.1.311.25.1":
		return Name{Kind: GUID, Value: fmt.Sprintf("%x", value.value[:min(len(value.value), 64)])}, nil
	case "1.3.6.1.4.1.311.25.2.1":
		return Name{Kind: SID, Value: clean(latin(value.value))}, nil
	case "1.3.6.1.5.5.7.8.9": // SmtpUTF8Mailbox, RFC 9598
		return Name{Kind: Email, Value: text(value)}, nil
	default:
		return Name{Kind: Other, Value: clean(id + ":" + text(value))}, nil
	}
}

// domains lists the registrable domains of the DNS names, each once.
func domains(names []Name) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if n.Kind != DNS || len(n.Value) > 255 {
			continue
		}
		d, err := publicsuffix.EffectiveTLDPlusOne(strings.TrimPrefix(strings.TrimSuffix(n.Value, "."), "*."))
		if err == nil && !seen[d] {
			seen[d] = true
			out = append(out, d)
		}
	}
	return out
}
