// Package contacts is the certificate contacts' part of the Key Vault front door
// (contract §1.4), one file an operation.
package contacts

import (
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates/contact"
)

// Operations are the routes.
func Operations(s *contact.Service) []wire.Operation {
	d := door{s}
	return []wire.Operation{
		{Name: "CertificateContactsGet", Method: "GET", Path: "/certificates/contacts", Handle: d.get},
		{Name: "CertificateContactsSet", Method: "PUT", Path: "/certificates/contacts", Handle: d.set},
		{Name: "CertificateContactsDelete", Method: "DELETE", Path: "/certificates/contacts", Handle: d.delete},
	}
}

type door struct{ s *contact.Service }

// bundle is Contacts.
type bundle struct {
	ID       string            `json:"id,omitempty"`
	Contacts []contact.Contact `json:"contacts"` // its JSON is the wire's
}

// answer is a bundle, or err.
func answer(q *wire.Request, list []contact.Contact, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: bundle{ID: q.Base + "/certificates/contacts", Contacts: list}}, nil
}
