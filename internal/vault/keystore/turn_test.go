package keystore

import (
	"context"
	"testing"
	"testing/synctest"

	"chatelaine.dev/internal/fault"
)

func TestCallersWaitForTheirTurnAndGiveUpWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Software{slots: make(chan struct{}, 1)}
		done, err := s.turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone, patient := make(chan error, 1), make(chan error, 1)
		go func() { _, err := s.turn(ctx); gone <- err }()
		go func() { _, err := s.turn(context.Background()); patient <- err }()
		synctest.Wait()
		if len(gone)+len(patient) != 0 {
			t.Fatal("two had the one slot")
		}

		cancel()
		synctest.Wait()
		if err := <-gone; !fault.Is(err, fault.Unavailable) {
			t.Errorf("gave up with %v", err)
		}
		done()
		if err := <-patient; err != nil {
			t.Errorf("the slot was not passed on: %v", err)
		}
	})
}
