package policy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"chatelaine.dev/internal/access"
)

// pages is an inventory of four certificates, two a page.
type pages struct {
	asked []string
	err   error
}

func (p *pages) Rejudge(_ context.Context, c access.Caller, after string) (string, int, error) {
	if !c.IsSystem() {
		return "", 0, errors.New("not the system")
	}
	p.asked = append(p.asked, after)
	switch after {
	case "":
		return "b", 2, nil
	case "b":
		return "d", 2, p.err
	}
	return "", 0, nil
}

func TestEvaluationReachesTheEnd(t *testing.T) {
	p := &pages{}
	e := &Evaluation{Inventory: p, Log: slog.New(slog.DiscardHandler)}

	if err := e.Handle(t.Context(), EvaluateArgs{}); err != nil || !slices.Equal(p.asked, []string{"", "b", "d"}) {
		t.Errorf("asked %q, %v", p.asked, err)
	}
	p.err = errors.New("database away")
	if err := e.Handle(t.Context(), EvaluateArgs{}); !errors.Is(err, p.err) {
		t.Errorf("an error is lost: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := e.Handle(stopped, EvaluateArgs{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
