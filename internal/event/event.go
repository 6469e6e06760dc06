// Package event tells what happened, to webhooks and to the floors above.
package event

import (
	"context"
	"encoding/json"
	"time"
)

// Event is one thing that happened, in the words of CloudEvents 1.0.
type Event struct {
	ID      string          `json:"id"`      // set by the log when empty
	Source  string          `json:"source"`  // path of the origin: /vaults/a
	Type    string          `json:"type"`    // such as Microsoft.KeyVault.SecretNewVersionCreated or Chatelaine.CertificateRevoked
	Subject string          `json:"subject"` // name or id of the object
	Time    time.Time       `json:"time"`    // set by the log when zero
	Data    json.RawMessage `json:"data,omitempty"`
}

// Emitter appends events. Inside a transaction the event joins it.
type Emitter interface {
	Emit(ctx context.Context, e Event) error
}
