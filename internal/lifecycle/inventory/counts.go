package inventory

import (
	"context"
	"sync"
	"time"

	"chatelaine.dev/internal/access"
)

// Failing counts the certificates that fail each rule.
func (s *Service) Failing(ctx context.Context, c access.Caller) ([]Failing, error) {
	if err := s.Guard.Authorize(ctx, c, Read, root, "CertificateCount"); err != nil {
		return nil, err
	}
	return s.Reader.Failing(ctx)
}

// Estimate is Count for pages that show a number beside a list. Where counting takes long
// the number is kept for twenty times as long, so that many who look at a page never keep
// the database busy by counting.
func (s *Service) Estimate(ctx context.Context, c access.Caller, text string) (int64, error) {
	if err := s.Guard.Authorize(ctx, c, Read, root, "CertificateCount"); err != nil {
		return 0, err
	}
	begun := s.Now()
	if n, ok := s.counts.find(text, begun); ok {
		return n, nil
	}
	n, err := s.Count(ctx, c, text)
	if err == nil {
		s.counts.keep(text, n, begun, s.Now())
	}
	return n, err
}

const (
	quickCount = 10 * time.Millisecond // what takes no longer is counted each time
	burden     = 20                    // what took longer is kept for so many times as long
	maxCounts  = 256
)

// counts are numbers that were expensive.
type counts struct {
	mu   sync.Mutex
	kept map[string]count
}

type count struct {
	n     int64
	until time.Time
}

func (k *counts) find(text string, now time.Time) (int64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x, ok := k.kept[text]
	return x.n, ok && now.Before(x.until)
}

func (k *counts) keep(text string, n int64, begun, now time.Time) {
	took := now.Sub(begun)
	if took <= quickCount {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil || len(k.kept) >= maxCounts {
		k.kept = map[string]count{}
	}
	k.kept[text] = count{n, now.Add(burden * took)}
}
