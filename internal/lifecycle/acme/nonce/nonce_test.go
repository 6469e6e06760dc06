package nonce_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/lifecycle/acme/nonce"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestANonceIsTakenOnceAndForAnHour(t *testing.T) {
	c := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	key := []byte(strings.Repeat("k", 32))
	s := nonce.New(key, c.at, c.now)
	n := s.Make()
	late := s.Make()

	if !s.Take(n) {
		t.Fatal("a new nonce is refused")
	}
	if s.Take(n) {
		t.Error("it is taken twice")
	}
	c.at = c.at.Add(nonce.Life + time.Second)
	if s.Take(late) {
		t.Error("it is taken after its time")
	}
	b, err := base64.RawURLEncoding.DecodeString(s.Make())
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 1
		if s.Take(base64.RawURLEncoding.EncodeToString(b)) {
			t.Errorf("it is taken with byte %d altered", i)
		}
		b[i] ^= 1
	}
	for _, text := range []string{"", "x", s.Make() + "=", s.Make()[:20], strings.Repeat("A", 43)} {
		if s.Take(text) {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestNoncesOfOtherNodesAreTakenAndThoseOfAnEarlierLifeAreNot(t *testing.T) {
	c := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	key := []byte(strings.Repeat("k", 32))
	one, other := nonce.New(key, time.Time{}, c.now), nonce.New(key, time.Time{}, c.now)
	if !other.Take(one.Make()) {
		t.Error("another node's nonce is refused")
	}
	if nonce.New([]byte(strings.Repeat("x", 32)), time.Time{}, c.now).Take(one.Make()) {
		t.Error("another installation's nonce is taken")
	}
	c.at = c.at.Add(2 * time.Minute)
	ahead := one.Make()
	c.at = c.at.Add(-2 * time.Minute)
	if other.Take(ahead) {
		t.Error("a nonce from two minutes ahead is taken: nobody's clock is that wrong")
	}
	before := one.Make()
	c.at = c.at.Add(time.Second)
	if restarted := nonce.New(key, c.at, c.now); restarted.Take(before) || !restarted.Take(restarted.Make()) {
		t.Error("a program that is alone must refuse what it may have taken before its restart, and nothing else")
	}
}

// The memory is bounded; what was forgotten is never taken again.
func TestForgottenNoncesAreNotTakenAgain(t *testing.T) {
	c := &clock{time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	s := nonce.New([]byte(strings.Repeat("k", 32)), time.Time{}, c.now)
	first := s.Make()
	if !s.Take(first) {
		t.Fatal("a new nonce is refused")
	}
	for i := range 600_000 {
		if i == 300_000 && s.Take(first) {
			t.Error("it is taken again when the memory has turned over once")
		}
		c.at = c.at.Add(time.Microsecond)
		if !s.Take(s.Make()) {
			t.Fatal("a new nonce is refused")
		}
	}
	if s.Take(first) {
		t.Error("the first one is taken again")
	}
}
