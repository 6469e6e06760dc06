package contact

import (
	"bytes"
	"encoding/json"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Adopt gives a head the contacts of an export, which is a file of unknown origin.
func Adopt(h *object.Head, sent json.RawMessage) (err error) {
	var list []Contact
	d := json.NewDecoder(bytes.NewReader(sent))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil || !strings.EqualFold(h.Name, headsName) {
		return fault.New(fault.Invalid, "NotAnExport", "The contacts of the file cannot be read.")
	}
	if err := check(list); err != nil {
		return err
	}
	h.Extra, err = json.Marshal(list)
	return err
}
