package connectortest

import (
	"context"
	"errors"
	"testing"

	"chatelaine.dev/internal/connector"
	"github.com/google/go-cmp/cmp"
)

// Source is what the suite needs of a source.
type Source struct {
	// New makes a connector to another side that holds something, and says what: Location to
	// certificate (DER), which is nil where a Problem is expected.
	New func(t *testing.T) (connector.Source, map[string][]byte)
}

// Run runs the suite.
func (s Source) Run(t *testing.T) {
	t.Run("CheckWorks", func(t *testing.T) {
		source, _ := s.New(t)

		must(t, source.Check(t.Context()))
	})
	t.Run("EverythingIsFoundOnce", func(t *testing.T) {
		source, want := s.New(t)

		for range 2 {
			if d := cmp.Diff(want, discover(t, source)); d != "" {
				t.Errorf("want -, got +:\n%s", d)
			}
		}
	})
	t.Run("ErrorOfYieldEndsIt", func(t *testing.T) {
		source, _ := s.New(t)
		stop, calls := errors.New("stop"), 0

		err := source.Discover(t.Context(), func(connector.Found) error { calls++; return stop })

		if !errors.Is(err, stop) || calls != 1 {
			t.Errorf("got %v after %d calls, want the error of yield after 1", err, calls)
		}
	})
	t.Run("CanceledDiscoveryIsNotComplete", func(t *testing.T) {
		source, want := s.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		found := 0

		err := source.Discover(ctx, func(connector.Found) error { found++; cancel(); return nil })

		if err == nil && found < len(want) {
			t.Errorf("found %d of %d and no error", found, len(want))
		}
	})
}

func discover(t *testing.T, s connector.Source) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	must(t, s.Discover(t.Context(), func(f connector.Found) error {
		if _, twice := got[f.Location]; twice {
			t.Errorf("found twice: %s", f.Location)
		}
		if f.Location == "" || f.Name == "" {
			t.Errorf("found without location or name: %+v", f)
		}
		if (f.Certificate == nil) == (f.Problem == "") {
			t.Errorf("%s: want a certificate or a problem, got %d bytes and %q", f.Location, len(f.Certificate), f.Problem)
		}
		got[f.Location] = f.Certificate
		return nil
	}))
	return got
}
