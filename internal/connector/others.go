package connector

import (
	"context"
	"crypto"
	"time"
)

// KeyService is where private keys live without leaving it.
type KeyService interface {
	Checker
	// Keys calls yield once for each key and version, with the same promises as
	// Source.Discover.
	Keys(ctx context.Context, yield func(Key) error) error
}

// Key is one key of a key service.
type Key struct {
	Location string           // stable and unique: a URL, an ARN, a resource name
	Name     string           // what people there call it
	Version  string           // empty where there are none
	Enabled  bool             // whether it can be used now
	Public   crypto.PublicKey // nil for symmetric keys
	Type     string           // in the service's words: RSA-HSM, EC_SIGN_P256_SHA256, SYMMETRIC_DEFAULT
	Created  time.Time        // zero if unknown
}

// Notifier tells people.
type Notifier interface {
	Checker
	Notify(ctx context.Context, m Message) error
}

// Message is what people are told. Text is plain text; Link leads to the console.
type Message struct {
	Title string
	Text  string
	Link  string
}

// Trail gives up the audit log of another system.
type Trail interface {
	Checker
	// Read calls yield for what was recorded after the cursor, oldest first, and returns
	// the cursor to go on from. An empty cursor starts where the other side's log starts. An
	// entry may come twice, never not at all.
	Read(ctx context.Context, cursor string, yield func(Entry) error) (next string, err error)
}

// Entry is one line of another system's audit log.
type Entry struct {
	ID        string // unique in that log
	Time      time.Time
	Operation string
	Target    string // what it was done to
	Principal string
	Address   string
	Succeeded bool
	Raw       []byte // the entry as it came; JSON where the source speaks it
}
