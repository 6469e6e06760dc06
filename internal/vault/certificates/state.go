package certificates

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// Status is how far the creation of a version has come (contract §2.6).
type Status string

// The statuses.
const (
	InProgress Status = "inProgress"
	Completed  Status = "completed"
	Cancelled  Status = "cancelled"
	Failed     Status = "failed" // the issuer refused; Error says why
)

// What is said with the status InProgress [REC].
const (
	detailsUnknown = "Pending certificate created. Please Perform Merge to complete the request."
	detailsIssuing = "Pending certificate created. Certificate request is in progress. This may take some time based on the issuer provider. Please check again later."
)

// Operation is the creation of a version.
type Operation struct {
	RequestID             string        `json:"requestId"` // 32 hex digits
	Issuer                policy.Issuer `json:"issuer"`
	Request               []byte        `json:"request"` // PKCS#10, DER
	Status                Status        `json:"status"`
	Details               string        `json:"details,omitempty"`
	CancellationRequested bool          `json:"cancellationRequested,omitempty"`
	PreserveOrder         bool          `json:"preserveOrder,omitempty"`
	Error                 *Failure      `json:"error,omitempty"`
	Created               time.Time     `json:"created"`
}

// Failure is why nothing was issued.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// state is what the head of a certificate keeps besides the head's own fields.
type state struct {
	Policy   policy.Policy `json:"policy"`
	Pending  *pending      `json:"pending,omitempty"`  // the last creation, also when it is over
	Failures int           `json:"failures,omitempty"` // renewals in a row that came to nothing
	Again    time.Time     `json:"again,omitzero"`     // no renewal before; zero when none failed
}

// pending is a creation with what completing it will need. Until then its key is in no
// vault, so that the newest key and secret of the name stay usable.
type pending struct {
	Operation
	Version string                `json:"version"` // id that the version will have
	Made    keys.Kept             `json:"made,omitempty"`
	Key     *policy.KeyProperties `json:"key"` // what the policy said of the key when it was made
	Enabled bool                  `json:"enabled"`
	Tags    map[string]string     `json:"tags,omitempty"`
	Renewal bool                  `json:"renewal,omitempty"` // nobody asked for it but the policy
}

const hidden = "[private key]"

// end ends the creation that is in progress. Its key is of no use any more.
func (st *state) end(status Status, details string) {
	st.Pending.Status, st.Pending.Details, st.Pending.Made = status, details, nil
}

// complete ends it with a version.
func (st *state) complete() {
	st.end(Completed, "")
	st.Failures, st.Again = 0, time.Time{}
}

// How long a renewal that came to nothing waits: twice as long after each.
const (
	firstWait = time.Hour
	lastWait  = 24 * time.Hour
)

// fail ends it with an error.
func (st *state) fail(why Failure, now time.Time) {
	st.end(Failed, "Certificate operation failed: "+why.Message)
	st.Pending.Error = &why
	st.postpone(now)
}

// postpone puts a renewal off that somebody or something ended.
func (st *state) postpone(now time.Time) {
	if !st.Pending.Renewal {
		return
	}
	st.Again = now.Add(min(firstWait<<min(st.Failures, 10), lastWait)).UTC()
	st.Failures++
}

func (p *pending) inProgress() bool { return p != nil && p.Status == InProgress }

// stateOf reads the state of a head. A new head has the zero state.
func stateOf(h object.Head) (state, error) {
	var s state
	if len(h.Extra) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(h.Extra, &s); err != nil {
		return s, fmt.Errorf("state of certificate %s: %w", h.Name, err)
	}
	return s, nil
}

// change edits the state inside a head.
func change(h *object.Head, edit func(s *state) error) error {
	s, err := stateOf(*h)
	if err != nil {
		return err
	}
	if err := edit(&s); err != nil {
		return err
	}
	h.Extra, err = json.Marshal(s)
	return err
}

// current returns the head and state of a live certificate; both are zero if the name is
// free or deleted, which the write that follows finds out.
func (s *Service) current(ctx context.Context, v *object.Vault, name string) (object.Head, state, error) {
	e, err := v.Read(ctx, object.Certificates, name, "")
	if fault.Is(err, fault.NotFound) {
		return object.Head{}, state{}, nil
	}
	if err != nil {
		return object.Head{}, state{}, err
	}
	st, err := stateOf(e.Head)
	return e.Head, st, err
}

func errInProgress() error {
	return fault.New(fault.Conflict, "Conflict", "A new key vault certificate can not be created or imported while a pending key vault certificate's status is inProgress.")
}

func errNoPending(name string) error {
	return fault.New(fault.NotFound, "PendingCertificateNotFound", "Pending certificate of %s was not found: it was imported, its creation was deleted, or request_id names another one.", name)
}

// checkIssuer refuses issuers that nobody registered.
func checkIssuer(ctx context.Context, v *object.Vault, i *policy.Issuer) error {
	if issuer.Reserved(i.Name) {
		return nil
	}
	_, err := issuer.Find(ctx, v, i.Name)
	return err
}
