package inventory

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	zx509 "github.com/zmap/zcrypto/x509"
)

// zlintCertificates are the certificates of zlint's own tests, most of them wrong on
// purpose. They lie in the module that the product links, so they need no copy.
func zlintCertificates(t testing.TB) map[string][]byte {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/zmap/zlint/v3").Output()
	if err != nil {
		t.Fatalf("find the module zlint: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	certificates := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if block, _ := pem.Decode(b); block != nil && block.Type == "CERTIFICATE" {
			certificates[filepath.Base(f)] = block.Bytes
		}
	}
	if len(certificates) < 1200 {
		t.Fatalf("only %d certificates in zlint's test data", len(certificates))
	}
	return certificates
}

func TestNoCertificateOfZlintIsDropped(t *testing.T) {
	tiers := map[Parser]int{}
	complete := 0
	all := zlintCertificates(t)

	for name, der := range all {
		c := Parse(der)

		tiers[c.Parser]++
		if c.SHA256 == "" || c.Name == "" || c.SPKI == "" || c.Key.Algorithm == "" || c.Serial == "" {
			t.Errorf("%s: identity is missing: %+v", name, c)
		}
		if !c.NotAfter.IsZero() && !c.NotBefore.IsZero() && c.raw.issuer != nil && c.raw.subject != nil {
			complete++
		} else {
			t.Logf("%s: incomplete: %v", name, c.Defects)
		}
		if c.Parser != Standard && (c.ErrorClass == "" || c.ParseError == "") {
			t.Errorf("%s: read by %s without a reason", name, c.Parser)
		}
		if c.ErrorClass == "other" {
			t.Errorf("%s: unclassified: %s", name, c.ParseError)
		}
	}

	t.Logf("%d certificates by tier: %v; %d with subject, issuer and dates", len(all), tiers, complete)
	if tiers[Lenient] < 50 {
		t.Errorf("the lenient tier read %d certificates; the standard parser used to refuse more than that", tiers[Lenient])
	}
	if complete*100 < len(all)*99 {
		t.Errorf("%d of %d have subject, issuer and dates; want 99 in 100", complete, len(all))
	}
}

// The forgiving reader agrees with the standard one wherever that has an opinion.
func TestReaderAgreesWithTheStandardParser(t *testing.T) {
	compared := 0
	for name, der := range zlintCertificates(t) {
		std, err := x509.ParseCertificate(der)
		if err != nil || std.Version != 3 {
			continue // below version 3 it passes over extensions that are there
		}
		compared++

		got := viewOf(Parse(der))

		want := viewOfStandard(std)
		if want.Algorithm == "" {
			got.Algorithm = "" // keys that it does not know
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-crypto/x509 +inventory):\n%s", name, diff)
		}
	}
	if compared < 1000 {
		t.Errorf("only %d certificates compared", compared)
	}
}

// And with zcrypto where the standard parser refuses.
func TestReaderAgreesWithZcryptoWhereTheStandardParserRefuses(t *testing.T) {
	compared := 0
	for name, der := range zlintCertificates(t) {
		got := Parse(der)
		z, err := zx509.ParseCertificate(der)
		if got.Parser != Lenient || err != nil {
			continue
		}
		compared++

		if !got.NotBefore.Equal(z.NotBefore) || !got.NotAfter.Equal(z.NotAfter) {
			t.Errorf("%s: dates %v %v, zcrypto %v %v", name, got.NotBefore, got.NotAfter, z.NotBefore, z.NotAfter)
		}
		if want := hex.EncodeToString(z.SerialNumber.Bytes()); strings.TrimPrefix(got.Serial, "-") != want && got.Serial != "00" {
			t.Errorf("%s: serial %s, zcrypto %s", name, got.Serial, want)
		}
		if diff := cmp.Diff(lower(z.DNSNames), got.DNSNames()); diff != "" {
			t.Errorf("%s (-zcrypto +inventory):\n%s", name, diff)
		}
		if !bytes.Equal(got.raw.spki, z.RawSubjectPublicKeyInfo) {
			t.Errorf("%s: other public key than zcrypto", name)
		}
	}
	if compared < 50 {
		t.Errorf("only %d certificates compared", compared)
	}
}

// view is what both readers know.
type view struct {
	Serial, SubjectKey, AuthorityKey   string
	DNS, Email, IP, CRLs, OCSP, Issuer []string
	KeyUsage, ExtKeyUsage, Policies    []string
	NotBefore, NotAfter                time.Time
	CA                                 bool
	Algorithm                          string
	SPKI, TBS                          string
}

func viewOf(c *Certificate) view {
	slices.Sort(c.ExtKeyUsage)
	return view{
		Serial: c.Serial, SubjectKey: c.SubjectKeyID, AuthorityKey: c.AuthorityKey,
		DNS: c.DNSNames(), Email: c.namesOf(Email), IP: c.namesOf(IP), CRLs: c.CRLs, OCSP: c.OCSP, Issuer: c.CAIssuers,
		KeyUsage: c.KeyUsage, ExtKeyUsage: c.ExtKeyUsage, Policies: c.Policies,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, CA: c.CA,
		Algorithm: c.Key.Algorithm, SPKI: string(c.raw.spki), TBS: string(c.raw.tbs),
	}
}

func viewOfStandard(s *x509.Certificate) view {
	v := view{
		Serial: hex.EncodeToString(s.SerialNumber.Bytes()), SubjectKey: hex.EncodeToString(s.SubjectKeyId),
		AuthorityKey: hex.EncodeToString(s.AuthorityKeyId),
		DNS:          lower(s.DNSNames), Email: s.EmailAddresses, CRLs: s.CRLDistributionPoints, OCSP: s.OCSPServer, Issuer: s.IssuingCertificateURL,
		NotBefore: s.NotBefore, NotAfter: s.NotAfter, CA: s.BasicConstraintsValid && s.IsCA,
		SPKI: string(s.RawSubjectPublicKeyInfo), TBS: string(s.RawTBSCertificate),
	}
	if v.Serial == "" {
		v.Serial = "00"
	}
	if s.SerialNumber.Sign() < 0 {
		v.Serial = "-" + v.Serial
	}
	for _, ip := range s.IPAddresses {
		v.IP = append(v.IP, ip.String())
	}
	for _, o := range s.Policies {
		v.Policies = append(v.Policies, o.String())
	}
	usages := []string{"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}
	for i, u := range usages {
		if s.KeyUsage&(1<<i) != 0 {
			v.KeyUsage = append(v.KeyUsage, u)
		}
	}
	for _, e := range s.Extensions {
		if e.Id.String() == "2.5.29.37" {
			v.ExtKeyUsage = nil
			for _, u := range s.ExtKeyUsage {
				v.ExtKeyUsage = append(v.ExtKeyUsage, extKeyUsageName(u.OID().String()))
			}
			for _, u := range s.UnknownExtKeyUsage {
				v.ExtKeyUsage = append(v.ExtKeyUsage, extKeyUsageName(u.String()))
			}
			slices.Sort(v.ExtKeyUsage) // the standard parser keeps known and unknown ones apart
		}
	}
	switch s.PublicKeyAlgorithm {
	case x509.RSA:
		v.Algorithm = "RSA"
	case x509.ECDSA:
		v.Algorithm = "EC"
	case x509.DSA:
		v.Algorithm = "DSA"
	case x509.Ed25519:
		v.Algorithm = "Ed25519"
	}
	return v
}

// lower is how our reader writes DNS names.
func lower(s []string) []string {
	s = slices.Clone(s)
	for i := range s {
		s[i] = strings.ToLower(clean(s[i]))
	}
	return s
}

func TestNothingOfAHostileCertificateReachesTheDatabaseUnclean(t *testing.T) {
	for name, der := range zlintCertificates(t) {
		c := Parse(der)

		for _, s := range append([]string{c.Name, c.Subject, c.Issuer, c.ParseError, c.Template}, append(c.DNSNames(), c.Defects...)...) {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\n\r\x1b\u202e") || len(s) > maxText+16 {
				t.Errorf("%s: unclean text %q", name, s)
			}
		}
	}
}

func TestCleanEscapesWhatCouldLie(t *testing.T) {
	for in, want := range map[string]string{
		"plain.example":  "plain.example",
		"müller.example": "müller.example",
		"a\x00b":         `a\u0000b`,
		"a\nb":           `a\u000ab`,
		"gpj.\u202eexe":  `gpj.\u202eexe`,
		"bad\xffutf8":    `bad\xffutf8`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := clean(strings.Repeat("x", 10000)); len(got) > maxText {
		t.Errorf("a long text keeps %d bytes", len(got))
	}
}

func TestTimesOfEveryForm(t *testing.T) {
	for _, c := range []struct {
		tag  byte
		text string
		want string // empty: not a time
	}{
		{tagUTCTime, "491231235959Z", "2049-12-31T23:59:59Z"},
		{tagUTCTime, "500101000000Z", "1950-01-01T00:00:00Z"},
		{tagUTCTime, "680101000000Z", "1968-01-01T00:00:00Z"},
		{tagUTCTime, "990101000000Z", "1999-01-01T00:00:00Z"},
		{tagUTCTime, "2601010000Z", "2026-01-01T00:00:00Z"},
		{tagUTCTime, "260101020000+0200", "2026-01-01T00:00:00Z"},
		{tagUTCTime, "260230000000Z", ""},
		{tagGeneralized, "20500101000000Z", "2050-01-01T00:00:00Z"},
		{tagGeneralized, "20500101000000.5Z", "2050-01-01T00:00:00.5Z"},
		{tagGeneralized, "99991231235959Z", "9999-12-31T23:59:59Z"},
		{tagGeneralized, "20500101000000-0100", "2050-01-01T01:00:00Z"},
		{tagGeneralized, "soon", ""},
		{tagIA5, "20500101000000Z", ""},
	} {
		got, err := instant(tlv{tag: c.tag, value: []byte(c.text)})

		if (err != nil) != (c.want == "") || err == nil && got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%s: %s, %v; want %s", c.text, got.Format(time.RFC3339Nano), err, c.want)
		}
	}
}

func TestNamesBeyondTheLimitAreCounted(t *testing.T) {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: slices.Repeat([]string{"a.example"}, maxNames+200)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}

	if got := Parse(der); len(got.Names) != maxNames || got.NamesOmitted != 200 {
		t.Errorf("%d names and %d omitted", len(got.Names), got.NamesOmitted)
	}
}

// Some letters are longer in lower case; an index of PostgreSQL takes 2,700 bytes.
func TestFoldedTextsFitAnIndex(t *testing.T) {
	for _, s := range []string{strings.Repeat("Ⱥ", maxText/2), strings.Repeat("x", 3*maxText)} {
		if f := Fold(s); len(f) > maxText || !utf8.ValidString(f) {
			t.Errorf("%d bytes become %d", len(s), len(f))
		}
	}
}

// Every prefix and every flipped byte of a certificate is still a record.
func TestDamagedCertificatesAreRecordsToo(t *testing.T) {
	der := zlintCertificates(t)["evAllGood.pem"]
	if der == nil {
		t.Fatal("zlint's evAllGood.pem is gone")
	}
	whole := Parse(der)

	for i := range der {
		if c := Parse(der[:i]); c.SHA256 == whole.SHA256 || c.Name == "" {
			t.Fatalf("prefix of %d bytes: %+v", i, c)
		}
		flipped := slices.Clone(der)
		flipped[i] ^= 0xff
		if c := Parse(flipped); c.SHA256 == whole.SHA256 || c.Name == "" {
			t.Fatalf("flipped byte %d: %+v", i, c)
		}
	}
	if c := Parse(nil); c.Parser != Raw || c.Name == "" || c.ErrorClass == "" {
		t.Errorf("no bytes at all: %+v", c)
	}
	if c := Parse(make([]byte, MaxDER+1)); c.Parser != Raw || c.ErrorClass != "size" || c.DER != nil {
		t.Errorf("too large: class %q, %d bytes kept", c.ErrorClass, len(c.DER))
	}
}

func FuzzParse(f *testing.F) {
	for name, der := range zlintCertificates(f) {
		if strings.HasPrefix(name, "san") || strings.HasPrefix(name, "ev") {
			f.Add(der)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c := Parse(der)
		if c.SHA256 == "" || !utf8.ValidString(c.Subject) || len(c.Names) > maxNames {
			t.Errorf("%+v", c)
		}
	})
}
