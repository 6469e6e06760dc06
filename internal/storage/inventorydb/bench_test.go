package inventorydb_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/inventorydb"
	"chatelaine.dev/internal/storage/storagetest"
)

const many = 100_000

// fill stores certificates as parsing would leave them, without making real ones.
func fill(b *testing.B, db *storage.DB) {
	b.Helper()
	store := inventorydb.New(db)
	for from := 0; from < many; from += 1000 {
		err := db.Transact(b.Context(), func(ctx context.Context) error {
			for i := from; i < from+1000; i++ {
				if err := add(ctx, store, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func add(ctx context.Context, store *inventorydb.Store, i int) error {
	sum := sha256.Sum256(fmt.Append(nil, i))
	name := fmt.Sprintf("host%d.dept%d.example", i, i%50)
	c := &inventory.Certificate{
		SHA256: fmt.Sprintf("%x", sum), SPKI: fmt.Sprintf("%x", sum[:16]), Serial: fmt.Sprintf("%x", sum[:8]), Name: name,
		Subject: "CN=" + name, Issuer: fmt.Sprintf("CN=Issuing CA %d,O=Example", i%20), Names: []inventory.Name{{Kind: inventory.DNS, Value: name}},
		Key: inventory.Key{Algorithm: []string{"RSA", "EC"}[i%2], Size: []int{2048, 256}[i%2]}, Signature: inventory.Signature{Algorithm: "SHA256-RSA"},
		NotBefore: start.Add(-time.Duration(i%300) * day), NotAfter: start.Add(time.Duration(i%400-50) * day), ExtKeyUsage: []string{"serverAuth"}, Parser: inventory.Standard,
		DER: make([]byte, 1200),
	}
	if _, err := store.Save(ctx, c, start.Add(time.Duration(i)*time.Second)); err != nil {
		return err
	}
	p := inventory.Place{Source: inventory.Network, Host: name, IP: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 443, SNI: name}
	err := store.SaveInstallation(ctx, inventory.Installation{ID: p.ID(), SHA256: c.SHA256, Place: p, State: inventory.Present, Current: true, FirstSeen: start, LastSeen: start, Checked: start})
	if err != nil {
		return err
	}
	v := inventory.Verdict{Trust: inventory.Private, Score: 100 - i%60}
	if i%60 > 40 {
		v.Findings = []inventory.Finding{{Rule: "weak-key", Severity: inventory.High, Message: "m", WhatToDo: "w"}}
	}
	return store.SaveVerdict(ctx, c.SHA256, v, start)
}

// A page and an exact count among 100,000 certificates, for what people ask most.
func BenchmarkListAndCount(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func() *storage.DB
	}{
		{"sqlite", func() *storage.DB { return storagetest.SQLite(b) }},
		{"postgresql", func() *storage.DB { return storagetest.Open(b, storage.Config{URL: storagetest.Postgres(b)}) }},
	} {
		b.Run(engine.name, func(b *testing.B) {
			db := engine.open()
			fill(b, db)
			s := newShop(b, db)
			for _, filter := range []string{
				"", "expires < 30d", "expires < 30d and expires > now and not key = rsa", "status = expired", "grade < C", "finding = weak-key",
				`san ~ "host777"`, "san = host77777.dept27.example", "host = host77777.dept27.example", `issuer ~ "issuing ca 7"`, "port = 443 and keysize < 2048",
			} {
				b.Run("list/"+filter, func(b *testing.B) {
					for b.Loop() {
						if _, err := s.List(b.Context(), caller, inventory.ListOptions{Filter: filter}); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.Run("count/"+filter, func(b *testing.B) {
					for b.Loop() {
						if _, err := s.Count(b.Context(), caller, filter); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}
