package issuer

import (
	"bytes"
	"encoding/json"

	"chatelaine.dev/internal/vault/object"
)

// Adopt gives a head an issuer of an export, which is a file of unknown origin. One of
// our own authorities arrives disabled: who may use a profile is decided here, not where
// the file was made.
func Adopt(h *object.Head, sent json.RawMessage) (disabled bool, err error) {
	var i Issuer
	d := json.NewDecoder(bytes.NewReader(sent))
	d.DisallowUnknownFields()
	if err := d.Decode(&i); err != nil {
		return false, bad("%.100s.", err.Error())
	}
	if Reserved(h.Name) {
		return false, bad("the name %s is reserved.", h.Name)
	}
	if err := i.check(); err != nil {
		return false, err
	}
	disabled = i.Enabled && i.grant() != (grant{})
	i.Enabled = i.Enabled && !disabled
	h.Extra, err = json.Marshal(i)
	return disabled, err
}
