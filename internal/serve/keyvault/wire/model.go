package wire

import (
	"time"

	"chatelaine.dev/internal/vault/object"
)

// Attributes are those that all kinds have (data/azure-keyvault/models.json). Times are
// seconds since 1970.
type Attributes struct {
	Enabled         *bool  `json:"enabled,omitempty"`
	NotBefore       *int64 `json:"nbf,omitempty"`
	Expires         *int64 `json:"exp,omitempty"`
	Created         *int64 `json:"created,omitempty"`
	Updated         *int64 `json:"updated,omitempty"`
	RecoveryLevel   string `json:"recoveryLevel,omitempty"`
	RecoverableDays *int   `json:"recoverableDays,omitempty"`
}

// AttributesOf are a version's attributes.
func AttributesOf(e object.Entry) Attributes {
	days := e.Vault.Settings().RetentionDays
	v := e.Version
	return Attributes{
		Enabled: &v.Enabled, NotBefore: unix(v.NotBefore), Expires: unix(v.Expires),
		Created: unix(v.Created), Updated: unix(v.Updated),
		RecoveryLevel: e.Vault.Settings().RecoveryLevel(), RecoverableDays: &days,
	}
}

// Set turns what a client sent into attributes to set. A nil a sets only tags, and nil
// tags leave the tags as they are.
func (a *Attributes) Set(tags map[string]string) object.Attributes {
	out := object.Attributes{Tags: tags}
	if a != nil {
		out.Enabled, out.NotBefore, out.Expires = a.Enabled, moment(a.NotBefore), moment(a.Expires)
	}
	return out
}

func unix(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	u := t.Unix()
	return &u
}

func moment(u *int64) *time.Time {
	if u == nil {
		return nil
	}
	t := time.Unix(*u, 0).UTC()
	return &t
}

// Deleted are the fields that a deleted object has besides its bundle or item.
type Deleted struct {
	RecoveryID         string `json:"recoveryId,omitempty"`
	DeletedDate        *int64 `json:"deletedDate,omitempty"`
	ScheduledPurgeDate *int64 `json:"scheduledPurgeDate,omitempty"`
}

// DeletedOf are those fields of a deleted object.
func (q *Request) DeletedOf(k object.Kind, e object.Entry) Deleted {
	return Deleted{
		RecoveryID:  q.Base + "/deleted" + string(k) + "/" + e.Head.Name,
		DeletedDate: unix(e.Head.Deleted), ScheduledPurgeDate: unix(e.Head.Purge),
	}
}
