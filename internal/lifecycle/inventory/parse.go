package inventory

import (
	"crypto/sha1" //nolint:gosec // people search by the SHA-1 that other tools print; nothing trusts it
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	zx509 "github.com/zmap/zcrypto/x509"
)

// MaxDER bounds one certificate. A longer one is kept as a fingerprint without content.
const MaxDER = 1 << 20

// Parse reads what can be read and never fails: every field comes from one forgiving
// reader, and Parser tells which of the strict parsers would have taken the whole.
func Parse(der []byte) *Certificate {
	c := &Certificate{Size: len(der), SHA256: hexSHA256(der), Parser: Raw}
	sum := sha1.Sum(der) //nolint:gosec // see the import
	c.SHA1 = hex.EncodeToString(sum[:])
	if len(der) > MaxDER {
		c.Name = c.SHA256[:16]
		c.ErrorClass, c.ParseError = "size", fmt.Sprintf("%d bytes are more than %d", len(der), MaxDER)
		return c
	}
	c.DER = der
	if err := c.read(der); err != nil {
		c.defect("%v", err)
	}
	c.derive()
	c.grade(der)
	return c
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// read walks Certificate and TBSCertificate (RFC 5280 section 4.1) as far as it can.
func (c *Certificate) read(der []byte) error {
	outer, rest, err := want(der, tagSequence)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if len(rest) > 0 {
		c.defect("%d bytes follow the certificate", len(rest))
	}
	tbs, rest, err := want(outer.value, tagSequence)
	if err != nil {
		return fmt.Errorf("to-be-signed part: %w", err)
	}
	c.raw.tbs = tbs.raw
	if alg, rest, err := want(rest, tagSequence); err == nil {
		c.raw.signatureAlgorithm = alg.raw
		c.Signature, err = readSignature(alg.value)
		if err != nil {
			c.defect("signature algorithm: %v", err)
		}
		if sig, _, err := want(rest, tagBitString); err == nil {
			c.raw.signature = bits8(sig.value)
		} else {
			c.defect("signature: %v", err)
		}
	} else {
		c.defect("signature algorithm: %v", err)
	}
	return c.readBody(tbs.value)
}

// readBody reads TBSCertificate. A field whose content is odd is a defect; only a
// field whose end cannot be found ends the reading.
func (c *Certificate) readBody(b []byte) error {
	third := false
	if version, rest, err := want(b, 0xa0); err == nil {
		b = rest
		v, _, err := want(version.value, tagInteger)
		if err != nil || len(v.value) != 1 || v.value[0] > 2 {
			c.defect("version: not 1, 2 or 3")
		}
		third = err == nil && len(v.value) == 1 && v.value[0] == 2
	}
	fields := []struct {
		name string
		tag  byte
		read func(t tlv) error
	}{
		{"serial", tagInteger, c.readSerial},
		{"inner signature algorithm", tagSequence, func(tlv) error { return nil }},
		{"issuer", tagSequence, func(t tlv) (err error) {
			c.raw.issuer = t.raw
			c.IssuerParts, err = distinguished(t.value)
			c.Issuer = format(c.IssuerParts)
			return err
		}},
		{"validity", tagSequence, c.readValidity},
		{"subject", tagSequence, func(t tlv) (err error) {
			c.raw.subject = t.raw
			c.SubjectParts, err = distinguished(t.value)
			c.Subject = format(c.SubjectParts)
			return err
		}},
		{"public key", tagSequence, func(t tlv) (err error) {
			c.raw.spki, c.SPKI = t.raw, hexSHA256(t.raw)
			c.Key, err = readKey(t.value)
			return err
		}},
	}
	for _, f := range fields {
		t, rest, err := next(b)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		b = rest
		if t.tag != f.tag {
			err = errTag
		} else {
			err = f.read(t)
		}
		if err != nil {
			c.defect("%s: %v", f.name, err)
		}
	}
	for len(b) > 0 {
		t, rest, err := next(b)
		if err != nil {
			return fmt.Errorf("after the public key: %w", err)
		}
		b = rest
		if t.tag != 0xa3 {
			continue // unique identifiers of version 2
		}
		if !third {
			c.defect("extensions: only version 3 has them")
		}
		seq, _, err := want(t.value, tagSequence)
		if err == nil {
			err = c.readExtensions(seq.value)
		}
		if err != nil {
			c.defect("extensions: %v", err)
		}
	}
	return nil
}

// readSerial writes the serial as hex of an even number of digits, "-" before a negative one.
func (c *Certificate) readSerial(t tlv) error {
	c.raw.serial = t.value
	if len(t.value) == 0 {
		return errLength
	}
	if len(t.value) > 256 {
		c.Serial = hex.EncodeToString(t.value[:256])
		return errLength
	}
	n := new(big.Int).SetBytes(t.value)
	sign := ""
	if t.value[0]&0x80 != 0 {
		n.Sub(new(big.Int).Lsh(big.NewInt(1), uint(8*len(t.value))), n)
		sign = "-"
	}
	if c.Serial = hex.EncodeToString(n.Bytes()); c.Serial == "" {
		c.Serial = "00"
	}
	c.Serial = sign + c.Serial
	return nil
}

func (c *Certificate) readValidity(t tlv) error {
	ends, err := children(t.value, 2)
	if len(ends) < 2 {
		return errors.Join(errTruncated, err)
	}
	from, err1 := instant(ends[0])
	to, err2 := instant(ends[1])
	c.NotBefore, c.NotAfter = from, to
	return errors.Join(err1, err2)
}

// derive fills what follows from other fields.
func (c *Certificate) derive() {
	c.SelfIssued = len(c.raw.subject) > 2 && string(c.raw.subject) == string(c.raw.issuer)
	if c.SelfIssued {
		switch err := c.SignedBy(c); {
		case err == nil:
			c.SelfSigned = true
		case errors.Is(err, ErrUncheckable):
			c.SelfSigned = c.AuthorityKey == "" || c.AuthorityKey == c.SubjectKeyID
		}
	}
	if key, err := hex.DecodeString(c.AuthorityKey); err == nil && len(key) > 0 && len(c.raw.serial) > 0 {
		b64 := base64.RawURLEncoding
		c.ARI = b64.EncodeToString(key) + "." + b64.EncodeToString(c.raw.serial[:min(len(c.raw.serial), 256)])
	}
	c.Wildcard = c.isWildcard()
	c.Domains = domains(c.Names)
	c.Name = c.display()
}

// display is the name for people: what is served comes before what is claimed.
func (c *Certificate) display() string {
	if d := c.DNSNames(); len(d) > 0 && !c.CA {
		return d[0]
	}
	if cn := c.CommonName(); cn != "" {
		return cn
	}
	if len(c.Names) > 0 {
		return c.Names[0].Value
	}
	if c.Subject != "" {
		return c.Subject
	}
	return c.SHA256[:16]
}

// grade finds the strictest parser that reads the certificate.
func (c *Certificate) grade(der []byte) {
	_, err := x509.ParseCertificate(der)
	if err == nil {
		c.Parser = Standard
		return
	}
	c.ErrorClass, c.ParseError = classify(err.Error()), clean(err.Error())
	if lenient(der) == nil {
		c.Parser = Lenient
	}
}

// lenient tries zcrypto. A panic there must not end a scan that met one strange certificate.
func lenient(der []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	_, err = zx509.ParseCertificate(der)
	return err
}

// classify sorts the standard parser's refusals, so that people can filter and count
// them. The words of that parser change between releases; "other" is where they land then.
func classify(message string) string {
	for _, k := range []struct{ class, words string }{
		{"serial", "serial"},
		{"time", "time|validity|date"},
		{"name", "rdn|distinguished|x509: invalid subject|issuer|attribute|printablestring|utf8string|ia5string|bmpstring|numericstring|teletex|string"},
		{"key", "public key|modulus|exponent|curve|elliptic|spki|dsa|rsa|parameters|key data"},
		{"extension", "extension|basic constraints|key usage|san|subject alternative|domain|uri|email|ip address|crl|policies|policy|authority|constraint|identifier"},
		{"version", "version"},
		{"algorithm", "algorithm"},
		{"encoding", "malformed|trailing|asn1|syntax|structural"},
	} {
		for w := range strings.SplitSeq(k.words, "|") {
			if strings.Contains(strings.ToLower(message), w) {
				return k.class
			}
		}
	}
	return "other"
}

// Expired reports whether the certificate's time is over at now. A certificate whose
// dates nobody can read is not called expired.
func (c *Certificate) Expired(now time.Time) bool {
	return !c.NotAfter.IsZero() && now.After(c.NotAfter)
}
