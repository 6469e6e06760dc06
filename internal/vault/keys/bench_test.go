package keys_test

import (
	"testing"

	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/vaulttest"
)

// What a use costs above the database and below the door.
func BenchmarkUse(b *testing.B) {
	f := vaulttest.New(b, storagetest.SQLite(b))
	s := keys.New(f.Deps, keystore.NewSoftware())
	for name, c := range map[string]struct {
		q  keys.CreateRequest
		in keys.Input
	}{
		"ES256":   {keys.CreateRequest{Type: "EC"}, in("ES256", make([]byte, 32))},
		"RS256":   {keys.CreateRequest{Type: "RSA"}, in("RS256", make([]byte, 32))},
		"ES256K":  {keys.CreateRequest{Type: "EC", Curve: "P-256K"}, in("ES256K", make([]byte, 32))},
		"HS256":   {keys.CreateRequest{Type: "oct", Ops: []keys.Operation{algorithm.Sign}}, in("HS256", make([]byte, 32))},
		"A256GCM": {keys.CreateRequest{Type: "oct"}, in("A256GCM", make([]byte, 32))},
	} {
		if _, err := s.Create(b.Context(), f.Caller, ref(name), c.q); err != nil {
			b.Fatal(err)
		}
		use := s.Sign
		if name == "A256GCM" {
			use = s.Encrypt
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := use(b.Context(), f.Caller, ref(name), c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
