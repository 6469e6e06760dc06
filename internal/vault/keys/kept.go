package keys

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"chatelaine.dev/internal/fault"
)

// Kept is a Made that waits in a sealed row of somebody else until it is stored, as the
// key of a certificate request does. It never prints.
type Kept []byte

// Format hides the key.
func (Kept) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (Kept) LogValue() slog.Value { return slog.StringValue(hidden) }

// Keep is m as a row may keep it.
func (m Made) Keep() (Kept, error) {
	b, err := m.body()
	return Kept(b), err
}

// Unkeep is what was kept.
func (s *Service) Unkeep(k Kept) (Made, error) {
	var b body
	if err := json.Unmarshal(k, &b); err != nil {
		return Made{}, fmt.Errorf("read a kept key: %w", err)
	}
	if b.Store != s.store.Name() {
		return Made{}, fault.New(fault.Unavailable, "", "The key lives in %q, which is not connected; ask the operator.", b.Store)
	}
	spec, err := b.spec()
	return Made{Public: b.JWK, Spec: spec, store: b.Store, material: b.Material}, err
}
