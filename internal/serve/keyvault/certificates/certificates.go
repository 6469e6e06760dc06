// Package certificates is the certificates part of the Key Vault front door (contract
// §1.4), one file an operation and its opposite.
package certificates

import (
	"crypto/sha1" //nolint:gosec // x5t is defined so (RFC 7517 section 4.8); nothing trusts it
	"encoding/base64"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
)

// Operations are the routes.
func Operations(s *certificates.Service) []wire.Operation {
	d := door{s}
	return []wire.Operation{
		{Name: "CertificateCreate", Method: "POST", Path: "/certificates/{name}/create", Handle: d.create},
		{Name: "CertificateImport", Method: "POST", Path: "/certificates/{name}/import", Handle: d.importCertificate},
		{Name: "CertificateGet", Method: "GET", Path: "/certificates/{name}/{version?}", Handle: d.get},
		{Name: "CertificateUpdate", Method: "PATCH", Path: "/certificates/{name}/{version?}", Handle: d.update},
		{Name: "CertificateDelete", Method: "DELETE", Path: "/certificates/{name}", Handle: d.delete},
		{Name: "CertificateList", Method: "GET", Path: "/certificates", Handle: d.list},
		{Name: "CertificateListVersions", Method: "GET", Path: "/certificates/{name}/versions", Handle: d.versions},
		{Name: "CertificatePolicyGet", Method: "GET", Path: "/certificates/{name}/policy", Handle: d.policy},
		{Name: "CertificatePolicyUpdate", Method: "PATCH", Path: "/certificates/{name}/policy", Handle: d.updatePolicy},
		{Name: "CertificatePendingGet", Method: "GET", Path: "/certificates/{name}/pending", Handle: d.pending},
		{Name: "CertificatePendingUpdate", Method: "PATCH", Path: "/certificates/{name}/pending", Handle: d.updatePending},
		{Name: "CertificatePendingDelete", Method: "DELETE", Path: "/certificates/{name}/pending", Handle: d.deletePending},
		{Name: "CertificatePendingMerge", Method: "POST", Path: "/certificates/{name}/pending/merge", Handle: d.merge},
		{Name: "CertificateGetDeleted", Method: "GET", Path: "/deletedcertificates/{name}", Handle: d.getDeleted},
		{Name: "CertificateListDeleted", Method: "GET", Path: "/deletedcertificates", Handle: d.listDeleted},
		{Name: "CertificateRecover", Method: "POST", Path: "/deletedcertificates/{name}/recover", Handle: d.recover},
		{Name: "CertificateBackup", Method: "POST", Path: "/certificates/{name}/backup", Handle: d.backup},
		{Name: "CertificateRestore", Method: "POST", Path: "/certificates/restore", Handle: d.restore, MaxBody: wire.RestoreBody},
		{Name: "CertificatePurge", Method: "DELETE", Path: "/deletedcertificates/{name}", Handle: d.purge},
	}
}

type door struct{ s *certificates.Service }

// bundle is CertificateBundle and DeletedCertificateBundle. While the first version is
// pending there is no key, secret or content.
type bundle struct {
	ID            string            `json:"id"`
	KeyID         string            `json:"kid,omitempty"`
	SecretID      string            `json:"sid,omitempty"`
	Thumbprint    string            `json:"x5t,omitempty"`
	Content       []byte            `json:"cer,omitempty"` // DER in standard base64
	Attributes    wire.Attributes   `json:"attributes"`
	Tags          map[string]string `json:"tags,omitempty"`
	Policy        policyBundle      `json:"policy"`
	Pending       *pendingID        `json:"pending,omitempty"`
	PreserveOrder bool              `json:"preserveCertOrder,omitempty"`
	wire.Deleted
}

type pendingID struct {
	ID string `json:"id"`
}

// policyBundle is CertificatePolicy.
type policyBundle struct {
	ID string `json:"id"`
	policy.Policy
}

func describePolicy(q *wire.Request, name string, p policy.Policy) policyBundle {
	return policyBundle{ID: q.ID(object.Certificates, name, "policy"), Policy: p}
}

func describe(q *wire.Request, c certificates.Certificate) bundle {
	name, version := c.Head.Name, c.Version.ID
	b := bundle{
		ID:         q.ID(object.Certificates, name, version),
		Attributes: wire.AttributesOf(c.Entry), Tags: c.Version.Tags,
		Policy: describePolicy(q, name, c.Policy), PreserveOrder: c.Body.PreserveOrder,
	}
	if c.Issued() {
		b.KeyID, b.SecretID = q.ID(object.Keys, name, version), q.ID(object.Secrets, name, version)
		b.Thumbprint, b.Content = thumbprint(c), c.Body.Certificate
	}
	if c.Operation != nil {
		b.Pending = &pendingID{ID: q.ID(object.Certificates, name, "pending")}
	}
	return b
}

// answer is a bundle, or err.
func answer(q *wire.Request, c certificates.Certificate, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: describe(q, c)}, nil
}

func thumbprint(c certificates.Certificate) string {
	if !c.Issued() {
		return ""
	}
	sum := sha1.Sum(c.Body.Certificate) //nolint:gosec // see the import
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// operation is CertificateOperation.
type operation struct {
	ID                    string        `json:"id"`
	Issuer                policy.Issuer `json:"issuer"`
	Request               []byte        `json:"csr"` // PKCS#10 in standard base64
	CancellationRequested bool          `json:"cancellation_requested"`
	Status                string        `json:"status"`
	Details               string        `json:"status_details,omitempty"`
	Target                string        `json:"target,omitempty"`
	RequestID             string        `json:"request_id"`
	PreserveOrder         bool          `json:"preserveCertOrder,omitempty"`

	Error *certificates.Failure `json:"error,omitempty"` // its JSON is the wire's
}

// answerOperation is an operation of the certificate that the path names, or err.
func answerOperation(q *wire.Request, op certificates.Operation, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	out := operation{
		ID: q.ID(object.Certificates, q.Name, "pending"), Issuer: op.Issuer, Request: op.Request,
		CancellationRequested: op.CancellationRequested, Status: string(op.Status), Details: op.Details,
		RequestID: op.RequestID, PreserveOrder: op.PreserveOrder, Error: op.Error,
	}
	if op.Status == certificates.Completed {
		out.Target = q.ID(object.Certificates, q.Name, "")
	}
	return wire.Response{Body: out}, nil
}
