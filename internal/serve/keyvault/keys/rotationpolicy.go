package keys

import (
	"context"
	"time"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/object"
)

// rotationPolicy is KeyRotationPolicy.
type rotationPolicy struct {
	ID      string           `json:"id,omitempty"`
	Actions []lifetimeAction `json:"lifetimeActions"`
	// Attributes are KeyRotationPolicyAttributes. Those of the default policy have no times.
	Attributes struct {
		ExpiryTime string `json:"expiryTime,omitempty"`
		Created    int64  `json:"created,omitempty"`
		Updated    int64  `json:"updated,omitempty"`
	} `json:"attributes"`
}

// lifetimeAction is LifetimeActions.
type lifetimeAction struct {
	Trigger struct {
		TimeAfterCreate  string `json:"timeAfterCreate,omitempty"`
		TimeBeforeExpiry string `json:"timeBeforeExpiry,omitempty"`
	} `json:"trigger"`
	Action struct {
		Type string `json:"type"`
	} `json:"action"`
}

// getRotationPolicy is GET /keys/{name}/rotationpolicy: KeyRotationPolicy.
func (d door) getRotationPolicy(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, h, err := d.Rotation.Policy(ctx, q.Caller, q.Ref())
	return answerPolicy(q, p, h, err)
}

// setRotationPolicy is PUT /keys/{name}/rotationpolicy: KeyRotationPolicy to the same.
func (d door) setRotationPolicy(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in rotationPolicy
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	draft := rotation.Draft{Expiry: in.Attributes.ExpiryTime}
	for _, a := range in.Actions {
		draft.Actions = append(draft.Actions, rotation.Action{
			Type: a.Action.Type, AfterCreate: a.Trigger.TimeAfterCreate, BeforeExpiry: a.Trigger.TimeBeforeExpiry,
		})
	}
	p, h, err := d.Rotation.SetPolicy(ctx, q.Caller, q.Ref(), draft)
	return answerPolicy(q, p, h, err)
}

func answerPolicy(q *wire.Request, p rotation.Policy, h object.Head, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	out := rotationPolicy{ID: q.ID(object.Keys, h.Name, "") + "/rotationpolicy"}
	add := func(kind string, after, before rotation.Duration) {
		var a lifetimeAction
		a.Action.Type = kind
		a.Trigger.TimeAfterCreate, a.Trigger.TimeBeforeExpiry = after.String(), before.String()
		out.Actions = append(out.Actions, a)
	}
	if p.Rotate != (rotation.Trigger{}) {
		add(rotation.Rotate, p.Rotate.AfterCreate, p.Rotate.BeforeExpiry)
	}
	add(rotation.Notify, rotation.Duration{}, p.Notify)
	out.Attributes.ExpiryTime = p.Expiry.String()
	out.Attributes.Created, out.Attributes.Updated = seconds(p.Created), seconds(p.Updated)
	return wire.Response{Body: out}, nil
}

// seconds since 1970, or nothing for no time.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
