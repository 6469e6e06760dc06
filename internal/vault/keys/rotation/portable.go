package rotation

import (
	"bytes"
	"encoding/json"

	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// Portable is the rotation policy of a key as an export holds it; nil if it has none.
func Portable(h object.Head) (json.RawMessage, error) {
	x, err := keys.ExtraOf(h)
	return x.Rotation, err
}

// Adopt gives a head the policy that Portable returned elsewhere. It comes from a file of
// unknown origin.
func Adopt(h *object.Head, policy json.RawMessage) error {
	if policy == nil {
		return nil
	}
	var p Policy
	d := json.NewDecoder(bytes.NewReader(policy))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return refuse("%.100s.", err.Error())
	}
	if t := p.Rotate; t != (Trigger{}) {
		if !t.AfterCreate.IsZero() && !t.BeforeExpiry.IsZero() || t.AfterCreate.length()+t.BeforeExpiry.length() < minTrigger {
			return refuse("its rotation needs one trigger of at least P7D.")
		}
		if err := t.checkRotate(p.Expiry); err != nil {
			return err
		}
	}
	if !p.Expiry.IsZero() && p.Expiry.length() < minExpiry {
		return refuse("expiryTime must be at least P28D, not %s.", p.Expiry)
	}
	if p.Notify.length() < minTrigger {
		return refuse("its notice must come at least P7D before the expiry, not %s.", p.Notify)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return keys.Extra{Rotation: text}.Put(h)
}
