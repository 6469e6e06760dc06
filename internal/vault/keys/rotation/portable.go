package rotation

import (
	"bytes"
	"encoding/json"
)

// Adopt checks the policy of a key that arrives in a file of unknown origin, and returns
// it as it is kept.
func Adopt(sent json.RawMessage) (json.RawMessage, error) {
	var p Policy
	d := json.NewDecoder(bytes.NewReader(sent))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, refuse("%.100s.", err.Error())
	}
	if t := p.Rotate; t != (Trigger{}) {
		if !t.AfterCreate.IsZero() && !t.BeforeExpiry.IsZero() || t.AfterCreate.length()+t.BeforeExpiry.length() < minTrigger {
			return nil, refuse("its rotation needs one trigger of at least P7D.")
		}
		if err := t.checkRotate(p.Expiry); err != nil {
			return nil, err
		}
	}
	if !p.Expiry.IsZero() && p.Expiry.length() < minExpiry {
		return nil, refuse("expiryTime must be at least P28D, not %s.", p.Expiry)
	}
	if p.Notify.length() < minTrigger {
		return nil, refuse("its notice must come at least P7D before the expiry, not %s.", p.Notify)
	}
	return json.Marshal(p)
}
