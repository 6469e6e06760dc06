package inventorydb_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/inventorydb"
)

var (
	start  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	caller = access.System("test")
)

const day = 24 * time.Hour

// shop is an inventory on a real database. Guard, trail, event log and queue are kept in
// memory; the trail can be made to fail.
type shop struct {
	*inventory.Service
	db  *storage.DB
	now time.Time

	mu      sync.Mutex
	actions []access.Action
	records []audit.Record
	events  []event.Event
	jobs    []job.Args
	ended   chan string // told the id of a run that ended, if not nil
	refuse  bool
	broken  bool
}

func newShop(t testing.TB, db *storage.DB) *shop {
	t.Helper()
	s := &shop{db: db, now: start}
	store := inventorydb.New(db)
	s.Service = inventory.New(inventory.Deps{
		Store: store, Reader: store, Judge: sizeJudge{}, Transact: db.Transact,
		Audit: s, Guard: s, Events: s, Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler),
	})
	return s
}

func (s *shop) Authorize(_ context.Context, _ access.Caller, a access.Action, _ access.Scope, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actions = append(s.actions, a)
	if s.refuse {
		return fault.New(fault.Denied, "Forbidden", "no")
	}
	return nil
}

func (s *shop) Record(ctx context.Context, r audit.Record) error {
	if s.broken {
		return errors.New("the trail is broken")
	}
	s.records = append(s.records, r)
	return nil
}

func (s *shop) Emit(ctx context.Context, e event.Event) error {
	s.events = append(s.events, e)
	if e.Type == "Chatelaine.RunEnded" && s.ended != nil {
		s.db.AfterCommit(ctx, func(committed bool) {
			if committed {
				s.ended <- e.Subject
			}
		})
	}
	return nil
}

func (s *shop) Enqueue(_ context.Context, a job.Args, _ job.Options) error {
	s.jobs = append(s.jobs, a)
	return nil
}

func (s *shop) record(t testing.TB, observations ...inventory.Observation) inventory.Recorded {
	t.Helper()
	done, err := s.Service.Record(t.Context(), caller, observations)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func (s *shop) get(t testing.TB, der []byte) inventory.Detail {
	t.Helper()
	d, err := s.Get(t.Context(), caller, inventory.Parse(der).SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *shop) count(t testing.TB, filter string) int64 {
	t.Helper()
	n, err := s.Count(t.Context(), caller, filter)
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	return n
}

// sizeJudge is a small judge whose verdict depends on content, places and revocation.
type sizeJudge struct{}

func (sizeJudge) Judge(c inventory.Case) inventory.Verdict {
	v := inventory.Verdict{Trust: inventory.Unknown, Score: 100}
	if c.Certificate.SelfSigned {
		v.Trust = inventory.SelfSigned
	}
	if len(inventory.Chain(c.Certificate, c.Issuers)) > 0 {
		v.Trust = inventory.Private
	}
	add := func(rule string, cost int) {
		v.Score -= cost
		v.Findings = append(v.Findings, inventory.Finding{Rule: rule, Severity: inventory.High, Message: rule + " it is", WhatToDo: "replace it", Since: c.Certificate.NotBefore})
	}
	if c.Certificate.Key.Size < 2048 && c.Certificate.Key.Algorithm == "RSA" {
		add("weak-key", 30)
	}
	if c.Certificate.Expired(c.Now) {
		add("expired", 60)
	}
	if !c.RevokedAt.IsZero() {
		add("revoked", 5)
	}
	if n := len(c.Installations); n > 0 && !slices.ContainsFunc(c.Installations, func(i inventory.Installation) bool { return i.Current && i.State != inventory.Missing }) {
		add("retired", 1)
	}
	return v
}

// template describes a certificate for tests.
type template struct {
	name     string
	from, to time.Time
	ca       bool
	issuer   *issued // nil: self-signed
	names    []string
}

type issued struct {
	der []byte
	key *ecdsa.PrivateKey
	crt *x509.Certificate
}

var serials = big.NewInt(1000)

func make1(t testing.TB, o template) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(serials, 100))
	if err != nil {
		t.Fatal(err)
	}
	if o.from.IsZero() {
		o.from = start.Add(-30 * day)
	}
	if o.to.IsZero() {
		o.to = start.Add(100 * day)
	}
	if o.names == nil && !o.ca {
		o.names = []string{o.name}
	}
	crt := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.name}, NotBefore: o.from, NotAfter: o.to,
		DNSNames: o.names, IsCA: o.ca, BasicConstraintsValid: o.ca, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := crt, key
	if o.issuer != nil {
		parent, signer = o.issuer.crt, o.issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, crt, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{der, key, parsed}
}

func at(host string) inventory.Place {
	return inventory.Place{Source: inventory.Network, Host: host, IP: "192.0.2.1", Port: 443, SNI: host}
}

func seen(p inventory.Place, when time.Time, der []byte, chain ...[]byte) inventory.Observation {
	return inventory.Observation{Place: p, State: inventory.Present, DER: der, Chain: chain, At: when, Run: "run1", Campaign: "c1",
		TLS: &inventory.TLS{Version: "TLS 1.3", Versions: []string{"TLS 1.2", "TLS 1.3"}}}
}

// zlintCertificates are some of the odd certificates that zlint tests with, by file name.
func zlintCertificates(t testing.TB, every int) [][]byte {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/zmap/zlint/v3").Output()
	if err != nil {
		t.Fatalf("find the module zlint: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var ders [][]byte
	for i, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if block, _ := pem.Decode(b); i%every == 0 && block != nil && block.Type == "CERTIFICATE" {
			ders = append(ders, block.Bytes)
		}
	}
	return ders
}
