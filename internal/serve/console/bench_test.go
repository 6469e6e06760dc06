package console_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/storage/inventorydb"
)

// many is the size of the inventory that the pages are timed on.
const many = 20_000

// fill stores certificates as parsing would leave them, without making real ones.
func fill(b *testing.B, h *house) {
	b.Helper()
	store := inventorydb.New(h.vaults.DB)
	now := h.access.Time()
	for from := 0; from < many; from += 1000 {
		err := h.vaults.DB.Transact(b.Context(), func(ctx context.Context) error {
			for i := from; i < from+1000; i++ {
				if err := add(ctx, store, now, i); err != nil {
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

func add(ctx context.Context, store *inventorydb.Store, now time.Time, i int) error {
	const day = 24 * time.Hour
	sum := sha256.Sum256(fmt.Append(nil, i))
	name := fmt.Sprintf("host%d.dept%d.example", i, i%50)
	c := &inventory.Certificate{
		SHA256: fmt.Sprintf("%x", sum), SPKI: fmt.Sprintf("%x", sum[:16]), Serial: fmt.Sprintf("%x", sum[:8]), Name: name,
		Subject: "CN=" + name, Issuer: fmt.Sprintf("CN=Issuing CA %d,O=Example", i%20), Names: []inventory.Name{{Kind: inventory.DNS, Value: name}},
		Key: inventory.Key{Algorithm: []string{"RSA", "EC"}[i%2], Size: []int{2048, 256}[i%2]}, Signature: inventory.Signature{Algorithm: "SHA256-RSA"},
		NotBefore: now.Add(-time.Duration(i%300) * day), NotAfter: now.Add(time.Duration(i%400-20) * day), ExtKeyUsage: []string{"serverAuth"}, Parser: inventory.Standard,
		DER: make([]byte, 1200),
	}
	if _, err := store.Save(ctx, c, now.Add(-time.Hour)); err != nil {
		return err
	}
	p := inventory.Place{Source: inventory.Network, Host: name, IP: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Port: 443, SNI: name}
	if err := store.SaveInstallation(ctx, inventory.Installation{ID: p.ID(), SHA256: c.SHA256, Place: p, State: inventory.Present, Current: true, FirstSeen: now, LastSeen: now, Checked: now}); err != nil {
		return err
	}
	if i%5 != 0 {
		if err := store.SetLineage(ctx, c.SHA256, fmt.Sprintf("lineage-%d", i), "Platform", inventory.Managed); err != nil {
			return err
		}
	}
	v := inventory.Verdict{Trust: inventory.Public, Score: 100 - i%60}
	if i%60 > 40 {
		v.Findings = []inventory.Finding{{Rule: "weak-key", Severity: inventory.High, Message: "m", WhatToDo: "w"}}
	}
	return store.SaveVerdict(ctx, c.SHA256, v, now)
}

// BenchmarkPages times whole requests, from the browser's side, among 20,000 certificates.
func BenchmarkPages(b *testing.B) {
	h := open(b)
	fill(b, h)
	browser := h.signedIn()
	for _, path := range []string{"/", "/certificates", "/certificates?q=status+%3D+expiring", "/certificates?q=expires+%3C+30d+and+not+key+%3D+rsa", "/endpoints", "/audit"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				browser.page(path)
			}
		})
	}
}
