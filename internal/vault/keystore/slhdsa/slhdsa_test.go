package slhdsa

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// NIST's vectors (ACVP, SLH-DSA-keyGen-FIPS205, the first of each set): the private key,
// which ends with the public one.
var generated = map[string]string{
	"SLH-DSA-SHA2-128s":  "AC379F047FAAB2004F3AE32350AC9A3D829FFF0AA59E956A87F3971C4D58E7100566D240CC519834322EAFBCC73C79F5A4B84F02E8BF0CBD54017B2D3C494B57",
	"SLH-DSA-SHAKE-128s": "2A2CCF3CD8F9F86E131BE654CFF6C0B4FDFCEB1AA2F0BA2C3C1388194F6116C7890CC7F4A46FE6C34D3F26A62FF962E1E8C88D2BDCBA6F66E50403E77FA92EFE",
	"SLH-DSA-SHA2-128f":  "AED6F6F5C5408BBFFA1136BC9049A7014D4CE0711E176A0C8A023508A692C20774D98D5000AF53B98F36389A1292BED3F4A650C56C426FCFDB88E3355459440C",
	"SLH-DSA-SHA2-192s":  "3BFAED208B7DC795BF3647F86E4B48BF9ADB8D6784C50155A20311739497C3FCB860EE47E09EDE036F7AE8A939155BC0A67856A81A6ADBCED7F1A2780CC48A06681BA5E8C7938506BD031BC8124F95F0BAE2BECB2A3FBBAEC453C04A6E918FFB",
	"SLH-DSA-SHAKE-192s": "915173EE0D17F30877E1D463E3DEC914E71F436867AD7615ED782E7033C4963A7FF0B67181DE0F0EA7EFABB326D40A86520660F654D537DA6934F96E5EE01B24A2F36102F68DCD10AA206FC79803E63850DA5E86969569FC8FB021B6C40616E2",
	"SLH-DSA-SHA2-256s":  "2FBEAB9A6A80FD817E7EFCDF834EFBD4F0A36195D7598408A6A151E93DE6A5575D0B37D1ECBC68265B0AFEECBBA783DD27EAFDBDF3143E4AF3E5057FD5C2DADA1322F94917AE67D0DB420203178D591283C08BE8A1385A16CE70CD9FBAFD2AC640041EAB68A4A653F89CAB7585F6B410603326DBBAAF733E7E72CB6097A4A452",
	"SLH-DSA-SHAKE-256s": "7D88445A7B0022F12E9E2D74755431505FF6DB1C38A8CE44864D34CFF1A12CE0FF2CD133AD00728EB29DD0CE881C41C640F2E28861555B59D4E0BAA0447BB54287A133B92EB6C81771AE002819B4C0300FA63CD7181C805096BFB16067F52A45CC785237C24D9235B6BC3194B79E5A9F953388EA745D7CFB87826A94E5B271D5",
}

func TestEverySetMakesTheKeysOfTheStandard(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		want, err := hex.DecodeString(generated[name])
		if err != nil || len(want) == 0 {
			t.Fatalf("%s: no vector, %v", name, err)
		}
		seeds := want[:len(want)*3/4] // SK.seed, SK.prf, PK.seed: section 9.1

		k, err := generate(name, bytes.NewReader(seeds))
		if err != nil {
			t.Fatal(err)
		}

		if got, err := k.key.MarshalBinary(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// The keys of RFC 9909, appendix "Examples".
const (
	examplePublic  = "MDAwCwYJYIZIAWUDBAMUAyEAK4EJ7Hd8qk4fAkzPz5SX2ZGAUJKA9CVq8rB6+AKJtJQ="
	examplePrivate = "MFICAQAwCwYJYIZIAWUDBAMUBECiJjvKRYYINlIxYASVI9YhZ3+tkNUetgZ6Mn4NHmSlASuBCex3fKpOHwJMz8+Ul9mRgFCSgPQlavKwevgCibSU"
)

func decode(t *testing.T, text string) []byte {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestKeysAreWrittenAsInTheRFC(t *testing.T) {
	t.Parallel()
	public, err := ParsePublic(decode(t, examplePublic))
	if err != nil || public.Name() != "SLH-DSA-SHA2-128s" || public.Category() != 1 {
		t.Fatalf("%v, %v", public, err)
	}
	if der, err := MarshalPublic(public); err != nil || !bytes.Equal(der, decode(t, examplePublic)) {
		t.Errorf("%x, %v", der, err)
	}
	private, err := ParsePKCS8(decode(t, examplePrivate))
	if err != nil || !public.Equal(private.Public()) {
		t.Fatal(err)
	}
	if der, err := MarshalPKCS8(private); err != nil || !bytes.Equal(der, decode(t, examplePrivate)) {
		t.Errorf("%d bytes, %v", len(der), err)
	}
}

// The signatures in testdata are of OpenSSL 3.5.8, of the message "Chatelaine": with the
// key of the RFC, and with two others.
func TestSignaturesOfOpenSSLAreBelieved(t *testing.T) {
	t.Parallel()
	for name, spki := range map[string]string{
		"SLH-DSA-SHA2-128s":  examplePublic,
		"SLH-DSA-SHAKE-128s": "MDAwCwYJYIZIAWUDBAMaAyEA13aUIoV9KWyK7LQFuIgKPer0Tt5/ElTYx8ee8pxazRk=",
		"SLH-DSA-SHA2-192s":  "MEAwCwYJYIZIAWUDBAMWAzEA14FajsqWRfkAw4FDaBHLg8nuLnpa3QcN1feLDXEZg/iBT6v8HWLDeN9+HqXtD/ZG",
	} {
		public, err := ParsePublic(decode(t, spki))
		if err != nil || public.Name() != name {
			t.Fatalf("%s: %v", name, err)
		}
		signature, err := os.ReadFile(filepath.Join("testdata", name+".sig"))
		if err != nil {
			t.Fatal(err)
		}
		if !public.Verify([]byte("Chatelaine"), signature) {
			t.Errorf("%s: a good signature is refused", name)
		}
		if public.Verify([]byte("chatelaine"), signature) || public.Verify([]byte("Chatelaine"), signature[:len(signature)-1]) ||
			public.Verify([]byte("Chatelaine"), append(signature, 0)) {
			t.Errorf("%s: a wrong signature is believed", name)
		}
		signature[len(signature)/2] ^= 1
		if public.Verify([]byte("Chatelaine"), signature) {
			t.Errorf("%s: an altered signature is believed", name)
		}
	}
}

func TestAKeySignsMessagesAndSurvivesBeingKept(t *testing.T) {
	t.Parallel()
	made, err := Generate("SLH-DSA-SHA2-128f")
	if err != nil {
		t.Fatal(err)
	}
	der, err := MarshalPKCS8(made)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParsePKCS8(der)
	if err != nil {
		t.Fatal(err)
	}
	public := k.Public().(*PublicKey)

	signature, err := crypto.SignMessage(k, rand.Reader, []byte("hello"), crypto.Hash(0))

	if err != nil || len(signature) != public.SignatureSize() || !public.Verify([]byte("hello"), signature) || public.Verify([]byte("hallo"), signature) {
		t.Errorf("%d bytes, %v", len(signature), err)
	}
	if _, err := k.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err == nil {
		t.Error("a digest was signed as if it were the message")
	}
	other, err := Generate("SLH-DSA-SHA2-128f")
	if err != nil {
		t.Fatal(err)
	}
	if public.Equal(other.Public()) || !public.Equal(made.Public()) || other.Public().(*PublicKey).Verify([]byte("hello"), signature) {
		t.Error("two keys are taken for one another")
	}
	// A key that is not whole, as after a fault in memory, gives nothing away.
	damaged := bytes.Clone(der)
	damaged[len(damaged)-1] ^= 1
	if k, err = ParsePKCS8(damaged); err != nil {
		t.Fatal(err)
	}
	if signature, err := k.Sign(rand.Reader, []byte("hello"), crypto.Hash(0)); err == nil {
		t.Errorf("a damaged key signed: %d bytes", len(signature))
	}
}

func TestNothingElseIsReadAsAKey(t *testing.T) {
	t.Parallel()
	public, private := decode(t, examplePublic), decode(t, examplePrivate)
	for _, der := range [][]byte{nil, public[:len(public)-1], append(bytes.Clone(public), 0), private} {
		if _, err := ParsePublic(der); err == nil {
			t.Errorf("%x is a public key", der)
		}
	}
	for _, der := range [][]byte{nil, private[:len(private)-1], append(bytes.Clone(private), 0), public} {
		if _, err := ParsePKCS8(der); err == nil {
			t.Errorf("%x is a private key", der)
		}
	}
	longer := bytes.Replace(public, []byte{4, 3, 20}, []byte{4, 3, 22}, 1) // a set with longer keys
	if _, err := ParsePublic(longer); err == nil {
		t.Error("a key of another length was read")
	}
	for _, name := range []string{"", "SLH-DSA", "SLH-DSA-SHA2-256f", "slh-dsa-sha2-128s"} {
		if _, err := Generate(name); err == nil || Known(name) {
			t.Errorf("%q is a parameter set", name)
		}
	}
}

func TestAPrivateKeyNeverPrints(t *testing.T) {
	t.Parallel()
	k, err := ParsePKCS8(decode(t, examplePrivate))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", k)
	printed := fmt.Sprintf("%v %+v %#v %x %d %s", k, k, k, k, k, k) + log.String()
	if strings.Contains(printed, "a2263b") || strings.Contains(printed, "162 38 59") || strings.Contains(strings.ToLower(printed), "0xa2") {
		t.Error(printed)
	}
}
