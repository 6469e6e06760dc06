package rotation

import (
	"encoding/json"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// The types of a lifetime action. Clients may write them in any case.
const (
	Rotate = "Rotate"
	Notify = "Notify"
)

// Policy says when a key rotates by itself, how long its versions last, and how long
// before their end it is told (contract §2.5).
type Policy struct {
	Rotate  Trigger   `json:"rotate,omitzero"` // zero: only when somebody asks
	Notify  Duration  `json:"notify"`          // before the expiry of the latest version
	Expiry  Duration  `json:"expiry,omitzero"` // life of a version that a rotation makes; zero: as long as it likes
	Created time.Time `json:"created,omitzero"`
	Updated time.Time `json:"updated,omitzero"`
}

// Trigger is a moment in the life of the latest version. One of its fields is set.
type Trigger struct {
	AfterCreate  Duration `json:"afterCreate,omitzero"`
	BeforeExpiry Duration `json:"beforeExpiry,omitzero"`
}

// Action is a lifetime action as a client sends it: durations in ISO 8601, or empty.
type Action struct {
	Type         string
	AfterCreate  string
	BeforeExpiry string
}

// Draft is a policy as a client sends it.
type Draft struct {
	Actions []Action
	Expiry  string
}

// The limits of contract §2.5, in the words that messages use.
const (
	minTrigger = 7 * 24 * time.Hour
	minExpiry  = 28 * 24 * time.Hour
	maxActions = 2
)

// defaultPolicy is that of a key which was never given one.
func defaultPolicy() Policy { return Policy{Notify: Duration{text: "P30D", days: 30}} }

func refuse(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", "The key rotation policy is not valid: "+format, args...)
}

// policy checks a draft. What it leaves out is the default's: Notify cannot be removed.
func (d Draft) policy() (Policy, error) {
	p := defaultPolicy()
	var err error
	if d.Expiry != "" {
		if p.Expiry, err = parseNamed("expiryTime", d.Expiry); err != nil {
			return p, err
		}
		if p.Expiry.length() < minExpiry {
			return p, refuse("expiryTime must be at least P28D, not %s.", p.Expiry)
		}
	}
	if len(d.Actions) > maxActions {
		return p, refuse("lifetimeActions has %d entries; one of type Rotate and one of type Notify are allowed.", len(d.Actions))
	}
	seen := map[string]bool{}
	for _, a := range d.Actions {
		kind := strings.ToLower(a.Type)
		if seen[kind] {
			return p, refuse("lifetimeActions has more than one action of type %.20q.", a.Type)
		}
		seen[kind] = true
		t, err := a.trigger()
		if err != nil {
			return p, err
		}
		switch kind {
		case "rotate":
			p.Rotate, err = t, t.checkRotate(p.Expiry)
		case "notify":
			p.Notify, err = t.BeforeExpiry, t.checkNotify()
		default:
			err = refuse("the type of a lifetime action is Rotate or Notify, not %.20q.", a.Type)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

func parseNamed(name, text string) (Duration, error) {
	d, err := ParseDuration(text)
	if err != nil {
		return d, refuse("%s %s.", name, err)
	}
	return d, nil
}

// trigger reads the one duration of an action.
func (a Action) trigger() (t Trigger, err error) {
	if (a.AfterCreate == "") == (a.BeforeExpiry == "") {
		return t, refuse("the trigger of the action %.20q needs one of timeAfterCreate and timeBeforeExpiry.", a.Type)
	}
	name, text, field := "timeAfterCreate", a.AfterCreate, &t.AfterCreate
	if a.AfterCreate == "" {
		name, text, field = "timeBeforeExpiry", a.BeforeExpiry, &t.BeforeExpiry
	}
	if *field, err = parseNamed(name, text); err != nil {
		return t, err
	}
	if field.length() < minTrigger {
		return t, refuse("%s must be at least P7D, not %s.", name, field)
	}
	return t, nil
}

// checkRotate wants seven days between a version's making, its rotation and its expiry.
// They are also what keeps a rotation from following the other at once.
func (t Trigger) checkRotate(expiry Duration) error {
	switch {
	case expiry.IsZero() && !t.BeforeExpiry.IsZero():
		return refuse("a rotation by timeBeforeExpiry needs an expiryTime.")
	case expiry.IsZero():
		return nil
	case expiry.length()-t.AfterCreate.length()-t.BeforeExpiry.length() < minTrigger && !t.BeforeExpiry.IsZero():
		return refuse("a rotation must come at least P7D after the making of a version; %s before an expiry after %s does not.", t.BeforeExpiry, expiry)
	case expiry.length()-t.AfterCreate.length()-t.BeforeExpiry.length() < minTrigger:
		return refuse("a rotation must come at least P7D before the expiry of a version; %s after the making, with an expiry after %s, does not.", t.AfterCreate, expiry)
	}
	return nil
}

func (t Trigger) checkNotify() error {
	if t.BeforeExpiry.IsZero() {
		return refuse("an action of type Notify takes timeBeforeExpiry only.")
	}
	return nil
}

// due is when a version rotates; the zero time is never. A version that somebody
// disabled stays the last, or a policy would put a key into use that was taken out of it.
func (t Trigger) due(x object.Version) time.Time {
	switch {
	case !x.Enabled:
		return time.Time{}
	case !t.AfterCreate.IsZero():
		return t.AfterCreate.After(x.Created)
	case !t.BeforeExpiry.IsZero() && !x.Expires.IsZero():
		return t.BeforeExpiry.Before(x.Expires)
	}
	return time.Time{}
}

// near is when it is told that a version expires; the zero time is never.
func (p Policy) near(x object.Version) time.Time {
	if x.Expires.IsZero() {
		return time.Time{}
	}
	return p.Notify.Before(x.Expires)
}

// policyOf is the policy of a key, its own or the default.
func policyOf(rotation json.RawMessage) (Policy, error) {
	if len(rotation) == 0 {
		return defaultPolicy(), nil
	}
	var p Policy
	err := json.Unmarshal(rotation, &p)
	return p, err
}
