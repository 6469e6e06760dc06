package keys

import (
	"encoding/json"
	"fmt"

	"chatelaine.dev/internal/vault/object"
)

// Extra is what a key has besides its versions: what holds for all of them, the coming
// ones too. It is kept in the object's head, and so in its backup.
type Extra struct {
	Rotation   json.RawMessage `json:"rotation,omitempty"`   // package rotation
	Exportable bool            `json:"exportable,omitempty"` // it may leave, under Release; never changes
	Release    *Release        `json:"release,omitempty"`
}

// ExtraOf reads the extra of a head.
func ExtraOf(h object.Head) (x Extra, err error) {
	if len(h.Extra) == 0 {
		return x, nil
	}
	if err := json.Unmarshal(h.Extra, &x); err != nil {
		return x, fmt.Errorf("key %s: %w", h.Name, err)
	}
	return x, nil
}

// Put writes the extra into a head.
func (x Extra) Put(h *object.Head) (err error) {
	h.Extra, err = json.Marshal(x)
	return err
}
