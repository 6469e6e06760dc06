package subscription_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/storage/storagetest"
)

// What an event adds to the change that causes it: many of them in one transaction, so
// that the commit does not count.
func BenchmarkEmit(b *testing.B) {
	for _, c := range []struct {
		name      string
		strangers int // subscriptions that do not want it
		wanted    int
	}{{"no subscription", 0, 0}, {"100 that do not want it", 100, 0}, {"one that wants it", 0, 1}, {"ten that want it", 0, 10}} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b, storagetest.SQLite(b))
			r := newReceiver(b)
			for i := range c.strangers + c.wanted {
				source := "/vaults/a"
				if i < c.strangers {
					source = fmt.Sprintf("/vaults/other%d", i)
				}
				w.subscribe(b, subscription.Draft{Filter: subscription.Filter{Source: source, Types: []string{"Microsoft.KeyVault.*"}}, Endpoint: access.NewSecret(r.URL)})
			}
			data := json.RawMessage(`{"Id":"https://a.localhost:8443/secrets/db/0123456789abcdef0123456789abcdef","VaultName":"a","ObjectType":"Secret","ObjectName":"db","Version":"0123456789abcdef0123456789abcdef","NBF":null,"EXP":null}`)
			e := event.Event{Source: "/vaults/a", Type: "Microsoft.KeyVault.SecretNewVersionCreated", Subject: "db", Data: data}
			if err := w.Log.Emit(b.Context(), e); err != nil { // so that the statements are prepared
				b.Fatal(err)
			}
			if err := w.DB.Transact(b.Context(), func(ctx context.Context) error {
				for b.Loop() {
					if err := w.Log.Emit(ctx, e); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// Events on their way: claimed, sent to a receiver on loopback, and settled.
func BenchmarkDeliver(b *testing.B) {
	w := newWorld(b, storagetest.SQLite(b))
	r := newReceiver(b)
	s := w.subscribe(b, subscription.Draft{Endpoint: access.NewSecret(r.URL)})
	if err := w.DB.Transact(b.Context(), func(ctx context.Context) error {
		for i := range b.N {
			if err := w.Log.Emit(ctx, event.Event{Source: "/vaults/a", Type: "T", Subject: name(i)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for {
		if n, err := w.Deliver(b.Context(), s.ID); err != nil {
			b.Fatal(err)
		} else if n == 0 {
			return
		}
		for len(r.arrived) > 0 {
			<-r.arrived
		}
	}
}
