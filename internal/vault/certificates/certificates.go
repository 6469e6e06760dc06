// Package certificates keeps the certificates of a vault: a policy, and versions that
// each have a key and a secret of the same name and version. All three are written in
// one transaction and share one fate (contract §2.6).
package certificates

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// What is done to certificates and to no other kind; the audit record says Certificate
// before it (contract §3).
const (
	create        object.Operation = "Create"
	importing     object.Operation = "Import"
	export        object.Operation = "Export"
	policyGet     object.Operation = "PolicyGet"
	policyUpdate  object.Operation = "PolicyUpdate"
	pendingGet    object.Operation = "PendingGet"
	pendingUpdate object.Operation = "PendingUpdate"
	pendingDelete object.Operation = "PendingDelete"
	pendingMerge  object.Operation = "PendingMerge"
	enroll        object.Operation = "Enroll" // a registered issuer issued

	// Renewal is a new version by the policy alone.
	Renewal object.Operation = "Renew"
)

// Service is the certificates of all vaults. The shelf is not embedded: its operations
// know nothing of keys and secrets, so those such as Delete are reached only through ours.
type Service struct {
	shelf     *object.Shelf
	keys      *keys.Service
	secrets   *secrets.Service
	authority Authority // nil: registered issuers issue nothing
}

// With returns the service with an authority behind its registered issuers.
func (s *Service) With(a Authority) *Service {
	with := *s
	with.authority = a
	return &with
}

// New makes the service. Keys and secrets of certificates are written through k and s.
func New(d object.Deps, k *keys.Service, s *secrets.Service) *Service {
	return &Service{keys: k, secrets: s, shelf: object.NewShelf(d, object.Certificates, map[object.Operation]access.Action{
		create:               "certificates/create/action",
		importing:            "certificates/import/action",
		export:               "secrets/getSecret/action", // Azure's: who reads the secret has the key
		policyGet:            "certificates/read",
		policyUpdate:         "certificates/update/action",
		pendingGet:           "certificates/read",
		pendingUpdate:        "certificates/update/action",
		pendingDelete:        "certificates/update/action",
		pendingMerge:         "certificates/create/action",
		enroll:               "certificates/create/action",
		object.Get:           "certificates/read",
		object.Update:        "certificates/update/action",
		object.Delete:        "certificates/delete",
		object.List:          "certificates/read",
		object.ListVersions:  "certificates/read",
		object.GetDeleted:    "certificates/read",
		object.ListDeleted:   "certificates/read",
		object.Recover:       "certificates/recover/action",
		object.Purge:         "certificates/purge/action",
		object.DeleteVersion: "certificates/purge/action",
		object.Backup:        "certificates/backup/action",
		object.Restore:       "certificates/restore/action",
	})}
}

// Body is what a version of a certificate holds. The private key is elsewhere.
type Body struct {
	Certificate   []byte   `json:"certificate"`             // DER
	Chain         [][]byte `json:"chain,omitempty"`         // DER of the others, in the order of the secret
	PreserveOrder bool     `json:"preserveOrder,omitempty"` // the secret keeps the order that was sent
	Exportable    bool     `json:"exportable,omitempty"`    // the secret holds the private key
}

// BodyOf reads the body of a version.
func BodyOf(x object.Version) (Body, error) {
	var b Body
	if len(x.Body) == 0 {
		return b, nil // the first version is pending
	}
	if err := json.Unmarshal(x.Body, &b); err != nil {
		return b, fmt.Errorf("certificate version %s: %w", x.ID, err)
	}
	return b, nil
}

// Certificate is one version of a certificate with its policy and its last creation.
// While the first version is pending, Body is empty and the version disabled.
type Certificate struct {
	object.Entry
	Body      Body
	Policy    policy.Policy
	Operation *Operation // nil if the certificate was imported
	Again     time.Time  // no renewal before; zero when none failed
}

// Issued reports whether there is a certificate, not only a request for one.
func (c Certificate) Issued() bool { return len(c.Body.Certificate) > 0 }

// Of reads what an entry of a list, or of any other place, holds.
func Of(e object.Entry) (Certificate, error) {
	s, err := stateOf(e.Head)
	if err != nil {
		return Certificate{}, err
	}
	c := Certificate{Entry: e, Policy: s.Policy, Again: s.Again}
	if s.Pending != nil {
		op := s.Pending.Operation
		c.Operation = &op
		if e.Version.ID == "" {
			c.Version = object.Version{ID: s.Pending.Version, Created: op.Created, Updated: op.Created, Tags: s.Pending.Tags}
		}
	}
	c.Body, err = BodyOf(e.Version)
	return c, err
}

// Get returns a certificate: a version of it, or the latest. It works for disabled and
// expired ones too; nothing in it is secret.
func (s *Service) Get(ctx context.Context, c access.Caller, r object.Ref) (cert Certificate, err error) {
	err = s.shelf.Call(ctx, c, object.Get, r, func(v *object.Vault) error {
		e, err := s.find(ctx, v, r)
		if err != nil {
			return err
		}
		if cert, err = Of(e); err != nil {
			return err
		}
		return s.shelf.Done(ctx, c, object.Get, object.Ref{Vault: r.Vault, Name: r.Name, Version: cert.Version.ID}, nil)
	})
	if err != nil {
		return Certificate{}, err
	}
	return cert, nil
}

// find is Find that also knows the id of a first version that is still pending.
func (s *Service) find(ctx context.Context, v *object.Vault, r object.Ref) (object.Entry, error) {
	e, err := s.shelf.Find(ctx, v, r)
	if r.Version == "" || !fault.Is(err, fault.NotFound) {
		return e, err
	}
	head, herr := s.shelf.Find(ctx, v, object.Ref{Vault: r.Vault, Name: r.Name})
	if herr != nil || head.Version.ID != "" {
		return e, err
	}
	st, serr := stateOf(head.Head)
	if serr == nil && st.Pending != nil && strings.EqualFold(st.Pending.Version, r.Version) {
		return head, nil
	}
	return e, err
}

// told are the details of a certificate that its records bear.
func told(leaf *x509.Certificate, issuer *policy.Issuer) map[audit.Field]string {
	sum := sha256.Sum256(leaf.Raw)
	return map[audit.Field]string{
		audit.Fingerprint: hex.EncodeToString(sum[:]),
		audit.Serial:      leaf.SerialNumber.Text(16),
		audit.Issuer:      issuer.Name,
	}
}
