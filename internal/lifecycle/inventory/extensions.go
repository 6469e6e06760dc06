package inventory

import (
	"encoding/hex"
	"fmt"
	"strings"
)

const maxExtensions = 128

// readExtensions reads Extensions (the SEQUENCE's content). A broken extension is a
// defect of its own and spoils no other.
func (c *Certificate) readExtensions(b []byte) error {
	list, err := children(b, maxExtensions)
	seen := map[string]bool{}
	for _, e := range list {
		oid, rest, err := want(e.value, tagOID)
		if err != nil {
			c.defect("extension: %v", err)
			continue
		}
		id := oidString(oid.value)
		mark := id
		if critical, after, err := want(rest, tagBoolean); err == nil {
			rest = after
			if len(critical.value) > 0 && critical.value[0] != 0 {
				mark = "!" + id
			}
		}
		c.Extensions = append(c.Extensions, mark)
		if seen[id] {
			c.defect("extension %s: there twice", id)
			continue
		}
		seen[id] = true
		value, _, err := want(rest, tagOctetString)
		if err == nil {
			err = c.readExtension(id, value.value)
		}
		if err != nil {
			c.defect("extension %s: %v", id, err)
		}
	}
	return err
}

func (c *Certificate) readExtension(id string, v []byte) error {
	switch id {
	case "2.5.29.14":
		t, _, err := want(v, tagOctetString)
		c.SubjectKeyID = hex.EncodeToString(t.value[:min(len(t.value), 64)])
		return err
	case "2.5.29.35":
		return c.readAuthorityKey(v)
	case "2.5.29.15":
		return c.readKeyUsage(v)
	case "2.5.29.37":
		return c.readExtKeyUsage(v)
	case "2.5.29.19":
		return c.readBasicConstraints(v)
	case "2.5.29.17":
		return c.readNames(v)
	case "2.5.29.32":
		return c.readPolicies(v)
	case "2.5.29.31":
		return c.readCRLs(v)
	case "1.3.6.1.5.5.7.1.1":
		return c.readAccess(v)
	case "1.3.6.1.5.5.7.1.3":
		return c.readStatements(v)
	case "1.3.6.1.5.5.7.1.24":
		return c.readFeatures(v)
	case "1.3.6.1.4.1.11129.2.4.2":
		return c.readSCTs(v)
	case "1.3.6.1.4.1.311.20.2":
		t, _, err := next(v)
		if err == nil {
			c.Template = text(t)
		}
		return err
	case "1.3.6.1.4.1.311.21.7":
		seq, _, err := want(v, tagSequence)
		if err != nil {
			return err
		}
		oid, _, err := want(seq.value, tagOID)
		if err == nil && c.Template == "" {
			c.Template = oidString(oid.value)
		}
		return err
	case "1.3.6.1.4.1.311.25.2":
		return c.readNames(v) // one otherName with the security identifier
	}
	return nil
}

func (c *Certificate) readAuthorityKey(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	parts, err := children(seq.value, 3)
	for _, t := range parts {
		if t.tag == 0x80 {
			c.AuthorityKey = hex.EncodeToString(t.value[:min(len(t.value), 64)])
		}
	}
	return err
}

func (c *Certificate) readKeyUsage(v []byte) error {
	names := [...]string{"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment",
		"keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}
	t, _, err := want(v, tagBitString)
	if err != nil {
		return err
	}
	b := bits8(t.value)
	for i, name := range names {
		if i/8 < len(b) && b[i/8]&(0x80>>(i%8)) != 0 {
			c.KeyUsage = append(c.KeyUsage, name)
		}
	}
	return nil
}

func extKeyUsageName(oid string) string {
	const pkix = "1.3.6.1.5.5.7.3."
	switch oid {
	case pkix + "1":
		return "serverAuth"
	case pkix + "2":
		return "clientAuth"
	case pkix + "3":
		return "codeSigning"
	case pkix + "4":
		return "emailProtection"
	case pkix + "8":
		return "timeStamping"
	case pkix + "9":
		return "OCSPSigning"
	case pkix + "17":
		return "ipsecIKE"
	case "2.5.29.37.0":
		return "anyExtendedKeyUsage"
	case "1.3.6.1.4.1.311.20.2.2":
		return "smartcardLogon"
	case "1.3.6.1.5.2.3.5":
		return "kerberosKDC"
	case "1.3.6.1.4.1.311.54.1.2":
		return "remoteDesktop"
	}
	return oid
}

func (c *Certificate) readExtKeyUsage(v []byte) error {
	oids, err := oidList(v)
	for _, o := range oids {
		c.ExtKeyUsage = append(c.ExtKeyUsage, extKeyUsageName(o))
	}
	return err
}

// oidList reads a SEQUENCE OF OBJECT IDENTIFIER.
func oidList(v []byte) ([]string, error) {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return nil, err
	}
	ts, err := children(seq.value, 100)
	var out []string
	for _, t := range ts {
		if t.tag != tagOID {
			return out, errTag
		}
		out = append(out, oidString(t.value))
	}
	return out, err
}

func (c *Certificate) readBasicConstraints(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	parts, err := children(seq.value, 2)
	for _, t := range parts {
		switch {
		case t.tag == tagBoolean && len(t.value) == 1:
			c.CA = t.value[0] != 0
		case t.tag == tagInteger && len(t.value) == 1 && t.value[0] < 0x80:
			n := int(t.value[0])
			c.MaxPathLen = &n
		default:
			return errTag
		}
	}
	return err
}

// readNames reads GeneralNames. The first maxNames are kept, the others counted.
func (c *Certificate) readNames(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	var first error
	for b := seq.value; len(b) > 0; {
		var t tlv
		if t, b, err = next(b); err != nil {
			return err
		}
		if len(c.Names) >= maxNames {
			c.NamesOmitted++
			continue
		}
		n, err := generalName(t)
		if err != nil && first == nil {
			first = fmt.Errorf("name %d: %w", len(c.Names)+1, err)
		}
		if n.Kind != "" {
			c.Names = append(c.Names, n)
		}
	}
	return first
}

func (c *Certificate) readPolicies(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	ts, err := children(seq.value, 100)
	for _, t := range ts {
		oid, _, err := want(t.value, tagOID)
		if err != nil {
			return err
		}
		id := oidString(oid.value)
		c.Policies = append(c.Policies, id)
		if v := validationLevel(id); v != "" {
			c.Validation = v
		}
	}
	return err
}

// validationLevel knows the CA/Browser Forum's reserved policy identifiers (Baseline
// Requirements section 7.1.6.1, EV Guidelines).
func validationLevel(oid string) string {
	switch oid {
	case "2.23.140.1.1", "2.23.140.1.3":
		return "EV"
	case "2.23.140.1.2.1":
		return "DV"
	case "2.23.140.1.2.2":
		return "OV"
	case "2.23.140.1.2.3":
		return "IV"
	}
	return ""
}

func (c *Certificate) readCRLs(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	points, err := children(seq.value, 100)
	for _, p := range points {
		fields, err := children(p.value, 3)
		if err != nil {
			return err
		}
		for _, f := range fields {
			if f.tag != 0xa0 { // distributionPoint
				continue
			}
			full, _, err := next(f.value)
			if err != nil {
				return err
			}
			if full.tag == 0xa0 { // fullName; the other form is relative to the issuer
				c.CRLs = append(c.CRLs, uris(full.value)...)
			}
		}
	}
	return err
}

// uris picks the URIs from GeneralNames.
func uris(b []byte) []string {
	ts, _ := children(b, 100)
	var out []string
	for _, t := range ts {
		if t.tag == 0x86 {
			out = append(out, clean(latin(t.value)))
		}
	}
	return out
}

func (c *Certificate) readAccess(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	ts, err := children(seq.value, 100)
	for _, t := range ts {
		method, rest, err := want(t.value, tagOID)
		if err != nil {
			return err
		}
		switch oidString(method.value) {
		case "1.3.6.1.5.5.7.48.1":
			c.OCSP = append(c.OCSP, uris(rest)...)
		case "1.3.6.1.5.5.7.48.2":
			c.CAIssuers = append(c.CAIssuers, uris(rest)...)
		}
	}
	return err
}

func (c *Certificate) readStatements(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	ts, err := children(seq.value, 100)
	for _, t := range ts {
		oid, _, err := want(t.value, tagOID)
		if err != nil {
			return err
		}
		c.Statements = append(c.Statements, oidString(oid.value))
	}
	return err
}

// readFeatures reads TLS features (RFC 7633): 5 is status_request, "must staple".
func (c *Certificate) readFeatures(v []byte) error {
	seq, _, err := want(v, tagSequence)
	if err != nil {
		return err
	}
	ts, err := children(seq.value, 100)
	for _, t := range ts {
		if t.tag == tagInteger && len(t.value) == 1 && t.value[0] == 5 {
			c.MustStaple = true
		}
	}
	return err
}

// readSCTs counts a SignedCertificateTimestampList (RFC 6962 section 3.3).
func (c *Certificate) readSCTs(v []byte) error {
	t, _, err := want(v, tagOctetString)
	if err != nil {
		return err
	}
	b := t.value
	if len(b) < 2 || int(b[0])<<8|int(b[1]) != len(b)-2 {
		return errLength
	}
	for b = b[2:]; len(b) > 0; c.SCTs++ {
		if len(b) < 2 {
			return errTruncated
		}
		n := 2 + int(b[0])<<8 + int(b[1])
		if n > len(b) {
			return errTruncated
		}
		b = b[n:]
	}
	return nil
}

// defect notes what our reader stumbled over; a certificate that is all defects does
// not fill the memory.
func (c *Certificate) defect(format string, args ...any) {
	const most = 20
	if len(c.Defects) < most {
		c.Defects = append(c.Defects, clean(fmt.Sprintf(format, args...)))
	}
}

// isWildcard looks at the DNS names, and at the common name where there are none.
func (c *Certificate) isWildcard() bool {
	names := c.DNSNames()
	if len(names) == 0 {
		names = []string{c.CommonName()}
	}
	for _, n := range names {
		if strings.HasPrefix(n, "*.") {
			return true
		}
	}
	return false
}
