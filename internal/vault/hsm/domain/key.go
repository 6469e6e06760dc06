// Package domain keeps the security domain of a Managed HSM: the key under which its
// backups are encrypted. It leaves the HSM in parts, one for each of n holders of whom m
// bring it into another HSM, where the backups open then (contract §1.5).
package domain

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Key is the key of a security domain. It never prints.
type Key struct{ secret []byte }

const (
	keySize = 32
	hidden  = "[security domain]"
)

// Format hides the key from every verb of fmt.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// ID tells two security domains apart and says nothing about the key.
func (k Key) ID() string {
	m := hmac.New(sha256.New, k.secret)
	m.Write([]byte("chatelaine security domain id v1"))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// Derive makes the key of one purpose, of 32 bytes.
func (k Key) Derive(salt []byte, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.secret, salt, purpose, 32)
}

// state is the row of a security domain.
type state struct {
	Key        []byte    `json:"key"`
	Downloaded time.Time `json:"downloaded,omitzero"`
	Uploaded   time.Time `json:"uploaded,omitzero"`
}

// rowName and transferRow are the rows that hold the security domain and the transfer key.
const (
	rowName     = "domain"
	transferRow = "transfer"
)

// Key returns the key of the HSM's security domain, which is made when it is first asked
// for. It must not run inside a transaction.
func (s *Service) Key(ctx context.Context, v *object.Vault) (Key, error) {
	st, err := read[state](ctx, v, rowName)
	if fault.Is(err, fault.NotFound) {
		err = s.Transact(ctx, func(ctx context.Context) error {
			st, err = s.edit(ctx, v, func(*state) error { return nil })
			return err
		})
	}
	return Key{st.Key}, err
}

// edit changes the security domain, and makes it if there is none. It must run inside a
// transaction.
func (s *Service) edit(ctx context.Context, v *object.Vault, change func(*state) error) (st state, err error) {
	_, err = v.SetHead(ctx, object.Administration, rowName, func(h *object.Head) error {
		st = state{} // a transaction may be tried again
		if len(h.Extra) > 0 {
			if err := json.Unmarshal(h.Extra, &st); err != nil {
				return err
			}
		} else {
			st.Key = make([]byte, keySize)
			_, _ = rand.Read(st.Key) // never fails
		}
		if err := change(&st); err != nil {
			return err
		}
		h.Extra, err = json.Marshal(st)
		return err
	})
	return st, err
}

// read returns the content of a row of the HSM's administration; fault.NotFound.
func read[T any](ctx context.Context, v *object.Vault, name string) (content T, err error) {
	e, err := v.Read(ctx, object.Administration, name, "")
	if err != nil {
		return content, err
	}
	if err := json.Unmarshal(e.Head.Extra, &content); err != nil {
		return content, fmt.Errorf("%s of the HSM %s: %w", name, v.Name, err)
	}
	return content, nil
}
