package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys/releasepolicy"
	"chatelaine.dev/internal/vault/object"
)

// Authorities can be asked whether there is an attestation service at a URL, whose tokens
// could ever be verified.
type Authorities interface {
	Check(ctx context.Context, authority string) error
}

// Exposure is what a request says about letting a key leave the vault (secure key release,
// contract §2.5). It concerns the key with all its versions.
type Exposure struct {
	Exportable *bool         // nil when nothing was said
	Policy     *PolicyClause // release_policy as sent; nil when none was

	parsed releasepolicy.Policy
}

// PolicyClause is KeyReleasePolicy.
type PolicyClause struct {
	ContentType string
	Data        []byte // the policy, JSON
	Immutable   *bool
}

// Release is the policy under which a key may leave.
type Release struct {
	Policy    releasepolicy.Policy `json:"policy"`
	Immutable bool                 `json:"immutable,omitempty"` // nobody changes it, ever
}

// PolicyType is the only content type of a release policy.
const PolicyType = "application/json; charset=utf-8"

// The service's own words. Those of 1003, 1006 and 1016 are not known to the letter.
var (
	errExportableChanged = fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1003: The exportable attribute of an existing key cannot be changed.")
	errNoPolicy          = fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1004: Exportable keys must have release policy.")
	errPolicyForNothing  = fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1005: Non-exportable keys must not have release policy.")
	errNotHSM            = fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1006: Exportable keys must be of an HSM type: RSA-HSM, EC-HSM or oct-HSM.")
	errOfVersion         = fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1016: Key Release Policy can only be set on versionless key.")
	errImmutable         = fault.New(fault.Invalid, "BadParameter", "AKV.SKR.1020: Immutable Key Release Policy cannot be modified.")
)

// said reports whether the request says anything.
func (x *Exposure) said() bool { return x.Exportable != nil || x.Policy != nil }

// prepare checks what a request says against the key as it is, if there is one, and asks
// for the authorities of its policy. It returns whether the key may leave. It may take
// seconds, and belongs before the transaction, which calls apply.
func (s *Service) prepare(ctx context.Context, v *object.Vault, r object.Ref, x *Exposure) (exportable bool, err error) {
	var h object.Head
	e, err := v.Read(ctx, object.Keys, r.Name, "")
	if err == nil {
		h = e.Head
	} else if !fault.Is(err, fault.NotFound) {
		return false, err
	}
	if x.Policy != nil && r.Version != "" {
		return false, errOfVersion
	}
	if err := x.parse(h); err != nil {
		return false, err
	}
	if x.said() {
		if err := x.apply(&h); err != nil {
			return false, err
		}
	}
	extra, err := ExtraOf(h)
	if err != nil || x.Policy == nil {
		return extra.Exportable, err
	}
	if s.Authorities == nil {
		return false, fault.New(fault.Unavailable, "", "No attestation service can be asked here; keys cannot be released.")
	}
	for _, a := range x.parsed.Authorities {
		if err := s.Authorities.Check(ctx, a.URL); err != nil {
			return false, err
		}
	}
	return extra.Exportable, nil
}

// parse reads the policy. What cannot replace an immutable one is not even looked at.
func (x *Exposure) parse(h object.Head) (err error) {
	if x.Policy == nil {
		return nil
	}
	was, err := ExtraOf(h)
	if err != nil {
		return err
	}
	x.parsed, err = releasepolicy.Parse(x.Policy.Data)
	switch {
	case was.Release != nil && was.Release.Immutable && err != nil:
		return errImmutable
	case err != nil:
		return err
	case x.Policy.ContentType != "" && !strings.EqualFold(strings.ReplaceAll(x.Policy.ContentType, " ", ""), "application/json;charset=utf-8"):
		return fault.New(fault.Invalid, "BadParameter", "The contentType of a release policy is %s, not %.100q.", PolicyType, x.Policy.ContentType)
	}
	return nil
}

// apply changes a head as the request says, or tells why it must not.
func (x *Exposure) apply(h *object.Head) error {
	extra, err := ExtraOf(*h)
	if err != nil {
		return err
	}
	switch first := h.Latest == ""; {
	case first:
		extra.Exportable = x.Exportable != nil && *x.Exportable
	case x.Exportable != nil && *x.Exportable != extra.Exportable:
		return errExportableChanged
	}
	if x.Policy != nil {
		if !extra.Exportable {
			return errPolicyForNothing
		}
		is := Release{Policy: x.parsed, Immutable: x.Policy.Immutable != nil && *x.Policy.Immutable}
		if was := extra.Release; was != nil && was.Immutable {
			if same, err := was.same(is); err != nil || !same || (x.Policy.Immutable != nil && !is.Immutable) {
				return errImmutable
			}
			is.Immutable = true
		}
		extra.Release = &is
	}
	if extra.Exportable && extra.Release == nil {
		return errNoPolicy
	}
	return extra.Put(h)
}

func (r *Release) same(o Release) (bool, error) {
	a, err := json.Marshal(r.Policy)
	if err != nil {
		return false, err
	}
	b, err := json.Marshal(o.Policy)
	return bytes.Equal(a, b), err
}

// leaves wants a type of a key that could live in an HSM, for keys that may be released.
func leaves(h object.Head, kty string) error {
	extra, err := ExtraOf(h)
	if err == nil && extra.Exportable && !strings.HasSuffix(kty, "-HSM") {
		return errNotHSM
	}
	return err
}
