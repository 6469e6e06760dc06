package keystore

import (
	"bytes"
	"context"
	"crypto/rsa"
	"testing"
	"testing/synctest"

	"chatelaine.dev/internal/fault"
)

// full starts a pool inside a bubble and returns when it has nothing more to make.
func full(t *testing.T, p *Pool) {
	t.Helper()
	p.Start()
	synctest.Wait()
	if bits := p.missing(); bits != 0 {
		t.Fatalf("the pool is idle, and a key of %d bits is missing", bits)
	}
}

func TestKeysMadeAheadAreHandedOutOnceAndReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(NewSoftware(), stock{2048, 2})
		full(t, p)
		defer p.Stop()
		waiting := append([]ahead{}, p.ready[2048]...)

		seen := map[string]bool{}
		for range 3 {
			m, pub, err := p.Generate(t.Context(), Spec{Type: RSA, Bits: 2048})
			if err != nil {
				t.Fatal(err)
			}
			k, err := OpenSigner(t.Context(), p, m)
			if err != nil || !k.Public().(*rsa.PublicKey).Equal(pub) {
				t.Fatal("the public key is another", err)
			}
			if seen[string(m)] {
				t.Fatal("a key was handed out twice")
			}
			seen[string(m)] = true
		}

		for _, k := range waiting {
			if !seen[string(k.material)] {
				t.Error("a key was made while one was waiting")
			}
		}
		synctest.Wait()
		if p.missing() != 0 {
			t.Error("what was taken is not replaced")
		}
		for _, k := range p.ready[2048] {
			if seen[string(k.material)] {
				t.Error("a key that was handed out is still there")
			}
		}
	})
}

func TestOtherKeysAreMadeWhenAskedFor(t *testing.T) {
	p := newPool(NewSoftware(), stock{2048, 1}) // never started
	for _, spec := range []Spec{{Type: RSA, Bits: 2048}, {Type: EC, Curve: "P-256"}, {Type: Oct, Bits: 256}} {
		if m, _, err := p.Generate(t.Context(), spec); err != nil || len(m) == 0 {
			t.Errorf("%s: %v", spec, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	p.ready[2048] = []ahead{{Material("key"), nil}}
	if _, _, err := p.Generate(gone, Spec{Type: RSA, Bits: 2048}); !fault.Is(err, fault.Unavailable) || len(p.ready[2048]) != 1 {
		t.Errorf("a key for a caller who has gone: %v", err)
	}
}

func TestAStoppedPoolKeepsNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(NewSoftware(), stock{2048, 1})
		full(t, p)
		m := p.ready[2048][0].material

		p.Stop()

		if !bytes.Equal(m, make([]byte, len(m))) || len(p.ready) != 0 {
			t.Error("keys made ahead are left in memory")
		}
		if err := p.add(2048); err != nil || len(p.ready) != 0 {
			t.Errorf("the key that was being made is kept: %v", err)
		}
		if _, _, err := p.Generate(t.Context(), Spec{Type: RSA, Bits: 2048}); err != nil {
			t.Error("no key can be made any more:", err)
		}
	})
}
