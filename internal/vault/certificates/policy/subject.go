package policy

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
)

// attribute is a naming attribute by its short names, the first being the one we write.
type attribute struct {
	names string
	oid   asn1.ObjectIdentifier
	tag   int // string type that a standard demands; 0 lets the value decide
}

// attributes are those of RFC 4519 and the names that Windows and OpenSSL use for them.
func attributes() []attribute {
	return []attribute{
		{"CN", asn1.ObjectIdentifier{2, 5, 4, 3}, 0},
		{"SN SURNAME", asn1.ObjectIdentifier{2, 5, 4, 4}, 0},
		{"SERIALNUMBER", asn1.ObjectIdentifier{2, 5, 4, 5}, asn1.TagPrintableString},
		{"C", asn1.ObjectIdentifier{2, 5, 4, 6}, asn1.TagPrintableString},
		{"L", asn1.ObjectIdentifier{2, 5, 4, 7}, 0},
		{"ST S", asn1.ObjectIdentifier{2, 5, 4, 8}, 0},
		{"STREET", asn1.ObjectIdentifier{2, 5, 4, 9}, 0},
		{"O", asn1.ObjectIdentifier{2, 5, 4, 10}, 0},
		{"OU", asn1.ObjectIdentifier{2, 5, 4, 11}, 0},
		{"T TITLE", asn1.ObjectIdentifier{2, 5, 4, 12}, 0},
		{"POSTALCODE", asn1.ObjectIdentifier{2, 5, 4, 17}, 0},
		{"G GN GIVENNAME", asn1.ObjectIdentifier{2, 5, 4, 42}, 0},
		{"I INITIALS", asn1.ObjectIdentifier{2, 5, 4, 43}, 0},
		{"DNQ DNQUALIFIER", asn1.ObjectIdentifier{2, 5, 4, 46}, asn1.TagPrintableString},
		{"E EMAIL EMAILADDRESS", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, asn1.TagIA5String},
		{"UID", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, 0},
		{"DC", asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, asn1.TagIA5String},
	}
}

// ParseName reads an X.500 name written with its most specific part first, as RFC 4514
// and Windows do: commas or semicolons between parts, plus signs inside one, quotes,
// backslashes, and "#hex" for DER. The sequence is in the order of the certificate, which
// is the other way round. The empty name is the empty sequence.
func ParseName(s string) (pkix.RDNSequence, error) {
	p := nameParser{rest: s}
	sequence := pkix.RDNSequence{}
	if p.space(); p.rest == "" {
		return sequence, nil
	}
	for {
		set, err := p.part()
		if err != nil {
			return nil, err
		}
		sequence = append(sequence, set)
		if p.rest == "" {
			slices.Reverse(sequence)
			return sequence, nil
		}
		p.rest = p.rest[1:] // the separator, where part stopped
	}
}

type nameParser struct{ rest string }

func (p *nameParser) space() { p.rest = strings.TrimLeft(p.rest, " ") }

// part reads one relative name and stops at a comma, a semicolon or the end.
func (p *nameParser) part() (pkix.RelativeDistinguishedNameSET, error) {
	var set pkix.RelativeDistinguishedNameSET
	for {
		name, rest, ok := strings.Cut(p.rest, "=")
		if !ok {
			return nil, bad("x509_props.subject has %.40q without a type, such as CN=", strings.TrimSpace(p.rest))
		}
		p.rest = rest
		a, err := attributeOf(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		value, err := p.value(a)
		if err != nil {
			return nil, err
		}
		set = append(set, pkix.AttributeTypeAndValue{Type: a.oid, Value: value})
		if p.rest == "" || p.rest[0] != '+' {
			return set, nil
		}
		p.rest = p.rest[1:]
	}
}

func attributeOf(name string) (attribute, error) {
	upper := strings.ToUpper(name)
	for _, a := range attributes() {
		if slices.Contains(strings.Fields(a.names), upper) {
			return a, nil
		}
	}
	if oid, ok := parseOID(strings.TrimPrefix(upper, "OID.")); ok {
		for _, a := range attributes() {
			if a.oid.Equal(oid) {
				return a, nil
			}
		}
		return attribute{oid: oid}, nil
	}
	return attribute{}, bad("x509_props.subject has the type %.40q, which is not known; use CN, O, OU, L, ST, C, DC, E, SERIALNUMBER or an object identifier", name)
}

// value reads one value up to the next separator and encodes it for its attribute.
func (p *nameParser) value(a attribute) (any, error) {
	p.space()
	var text string
	var err error
	switch {
	case strings.HasPrefix(p.rest, "#"):
		return p.hex()
	case strings.HasPrefix(p.rest, `"`):
		text, err = p.quoted()
	default:
		text, err = p.plain()
	}
	if err != nil {
		return nil, err
	}
	if text == "" || !isText(text) {
		return nil, bad("x509_props.subject has an empty value or a control character")
	}
	if a.tag == 0 {
		return text, nil
	}
	if !isText(text) || strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
		return nil, bad("x509_props.subject has a value for %s that is not ASCII", strings.Fields(a.names)[0])
	}
	return asn1.RawValue{Tag: a.tag, Bytes: []byte(text)}, nil
}

func (p *nameParser) end() int {
	if i := strings.IndexAny(p.rest, ",;+"); i >= 0 {
		return i
	}
	return len(p.rest)
}

func (p *nameParser) hex() (any, error) {
	i := p.end()
	der, err := hex.DecodeString(strings.TrimSpace(p.rest[1:i]))
	p.rest = p.rest[i:]
	var v asn1.RawValue
	if err == nil {
		var rest []byte
		if rest, err = asn1.Unmarshal(der, &v); err == nil && len(rest) == 0 {
			return v, nil
		}
	}
	return nil, bad("x509_props.subject has a value after # that is not DER in hex")
}

// quoted reads "…", where a doubled quote or a backslash gives the next character.
func (p *nameParser) quoted() (string, error) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\' && i+1 < len(p.rest), c == '"' && i+1 < len(p.rest) && p.rest[i+1] == '"':
			i++
			b.WriteByte(p.rest[i])
		case c == '"':
			p.rest = p.rest[i+1:]
			if p.space(); p.end() != 0 {
				return "", bad("x509_props.subject has text after a closing quote")
			}
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", bad("x509_props.subject has a quote that does not close")
}

// plain reads an unquoted value; spaces at its end belong to it only when escaped.
func (p *nameParser) plain() (string, error) {
	var b strings.Builder
	kept := 0
	i := 0
	for ; i < len(p.rest) && !strings.ContainsRune(",;+", rune(p.rest[i])); i++ {
		c := p.rest[i]
		if c == '\\' {
			if i++; i == len(p.rest) {
				return "", bad("x509_props.subject ends in a backslash")
			}
			c = p.rest[i]
			if pair, err := hex.DecodeString(p.rest[i:min(i+2, len(p.rest))]); err == nil && len(pair) == 1 {
				c = pair[0]
				i++
			}
			b.WriteByte(c)
			kept = b.Len()
			continue
		}
		b.WriteByte(c)
		if c != ' ' {
			kept = b.Len()
		}
	}
	p.rest = p.rest[i:]
	return b.String()[:kept], nil
}

// nameValue keeps a value's DER, which pkix loses for values that are not strings. The
// name rdnSET tells encoding/asn1 that it is a SET.
type (
	nameValue struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	rdnSET []nameValue
)

// FormatName writes a DER name the way ParseName reads it. It is the subject that a
// policy gets when it is made of a certificate.
func FormatName(der []byte) (string, error) {
	var sequence []rdnSET
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
		return "", bad("the certificate's subject is not an X.500 name")
	}
	parts := make([]string, 0, len(sequence))
	for _, set := range slices.Backward(sequence) {
		values := make([]string, 0, len(set))
		for _, v := range set {
			values = append(values, v.format())
		}
		parts = append(parts, strings.Join(values, "+"))
	}
	return strings.Join(parts, ", "), nil
}

func (v nameValue) format() string {
	name := v.Type.String()
	for _, a := range attributes() {
		if a.oid.Equal(v.Type) {
			name, _, _ = strings.Cut(a.names, " ")
		}
	}
	var text string
	if _, err := asn1.Unmarshal(v.Value.FullBytes, &text); err != nil || text == "" || !isText(text) {
		return name + "=#" + hex.EncodeToString(v.Value.FullBytes)
	}
	return name + "=" + escapeValue(text)
}

// escapeValue: RFC 4514, 2.4.
func escapeValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		edge := c == ' ' && (i == 0 || i == len(s)-1) || c == '#' && i == 0
		if edge || strings.IndexByte(`,;+"\<>=`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
