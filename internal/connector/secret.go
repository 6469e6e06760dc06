package connector

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const hidden = "[secret]"

var errHidden = errors.New("a secret cannot be marshalled; reveal it where it is used")

// Secret is a value that no print, log or encoder gives up; only Reveal does. In a
// configuration struct the type itself marks the field as secret. The zero value is the
// empty secret.
type Secret struct {
	// A closure, because fmt does not ask the methods of a value in an unexported field and
	// follows pointers there; of a function it can print nothing but the address.
	reveal func() []byte
}

// NewSecret makes a secret of a copy of b.
func NewSecret(b []byte) Secret {
	if len(b) == 0 {
		return Secret{}
	}
	v := append([]byte(nil), b...)
	return Secret{func() []byte { return v }}
}

// Reveal returns the content. The caller keeps it out of errors, logs and arguments of
// programs, and does not change it.
func (s Secret) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// Empty reports whether there is nothing in it.
func (s Secret) Empty() bool { return s.reveal == nil }

// Equal compares without telling by its time where the contents differ.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare(s.Reveal(), o.Reveal()) == 1
}

// String hides the content.
func (Secret) String() string { return hidden }

// GoString hides the content.
func (Secret) GoString() string { return hidden }

// Format hides the content from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the content.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText refuses, for JSON, YAML, XML and every other encoder that asks it.
func (Secret) MarshalText() ([]byte, error) { return nil, errHidden }

// UnmarshalJSON takes a JSON string.
func (s *Secret) UnmarshalJSON(b []byte) error {
	var v string
	if err := json.Unmarshal(b, &v); err != nil {
		return errors.New("want a string")
	}
	*s = NewSecret([]byte(v))
	return nil
}
