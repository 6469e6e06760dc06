package ocsp_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage/storagetest"
)

type requestExtension struct {
	ID       asn1.ObjectIdentifier
	Critical bool `asn1:"optional"`
	Value    []byte
}

type single struct {
	CertID     asn1.RawValue
	Extensions []requestExtension `asn1:"explicit,tag:0,optional,omitempty"`
}

// asked is a request of RFC 6960 section 4.1.1.
type asked struct {
	Version    int `asn1:"explicit,tag:0,default:0,optional"`
	List       []single
	Extensions []requestExtension `asn1:"explicit,tag:2,optional,omitempty"`
}

func (a asked) der(t testing.TB) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct{ TBS asked }{a})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRequestsOfAnyOtherShapeAreMalformed(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	of := func(n *big.Int) single {
		t.Helper()
		var q struct {
			TBS struct{ List []single }
		}
		if _, err := asn1.Unmarshal(f.request(n, crypto.SHA1), &q); err != nil {
			t.Fatal(err)
		}
		return q.TBS.List[0]
	}
	one := of(serialOf(f.issue()))
	nonce := requestExtension{ID: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, Value: []byte{4, 1, 7}}
	unknown := requestExtension{ID: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}
	critical := unknown
	critical.Critical = true
	times := func(n int) []single {
		list := make([]single, n)
		for i := range list {
			list[i] = one
		}
		return list
	}
	for why, c := range map[string]struct {
		der  []byte
		good bool
	}{
		"plain":                          {asked{List: times(1)}.der(t), true},
		"with a nonce":                   {asked{List: times(1), Extensions: []requestExtension{nonce}}.der(t), true},
		"with two nonces":                {asked{List: times(1), Extensions: []requestExtension{nonce, nonce}}.der(t), false},
		"an unknown extension":           {asked{List: times(1), Extensions: []requestExtension{unknown}}.der(t), true},
		"an unknown critical one":        {asked{List: times(1), Extensions: []requestExtension{critical}}.der(t), false},
		"an unknown critical one of one": {asked{List: []single{{one.CertID, []requestExtension{critical}}}}.der(t), false},
		"twenty":                         {asked{List: times(20)}.der(t), true},
		"twenty-one":                     {asked{List: times(21)}.der(t), false},
		"none":                           {asked{}.der(t), false},
		"version 2":                      {asked{Version: 1, List: times(1)}.der(t), false},
		"a serial of 32 bytes":           {asked{List: []single{of(new(big.Int).Lsh(big.NewInt(1), 8*32-2))}}.der(t), true},
		"a serial of 33 bytes":           {asked{List: []single{of(new(big.Int).Lsh(big.NewInt(1), 8*33-2))}}.der(t), false},
		"a negative serial":              {asked{List: []single{of(big.NewInt(-5))}}.der(t), false},
		"something behind":               {append(asked{List: times(1)}.der(t), 5, 0), false},
		"cut off":                        {asked{List: times(1)}.der(t)[:40], false},
		"nothing":                        {nil, false},
	} {
		a := f.OCSP.Respond(t.Context(), "issuing", c.der)
		if malformed := bytes.Equal(a.DER, []byte{0x30, 3, 0x0a, 1, 1}); malformed == c.good || (a.Cause == nil) != c.good {
			t.Errorf("%s: %x, %v", why, a.DER[:min(len(a.DER), 8)], a.Cause)
		}
	}
}

// RFC 6960 section 4.4.5: what a CRL says of an entry, an answer may say too.
func TestTheInvalidityDateIsInTheAnswer(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	c := f.issue()
	since := f.Clock().Add(-48 * time.Hour).UTC().Truncate(time.Second)
	if _, err := f.Revocation.Revoke(t.Context(), access.System("test"), revocation.Request{SHA256: c.SHA256, Reason: "keyCompromise", InvalidSince: since}); err != nil {
		t.Fatal(err)
	}
	for _, e := range f.ask(serialOf(c)).Extensions {
		var got time.Time
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 24}) {
			continue
		}
		if _, err := asn1.UnmarshalWithParams(e.Value, &got, "generalized"); err != nil || !got.Equal(since) {
			t.Errorf("%s, want %s: %v", got, since, err)
		}
		return
	}
	t.Error("the answer has no invalidity date")
}
