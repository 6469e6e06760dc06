// Package issuers is the certificate issuers' part of the Key Vault front door (contract
// §1.4), one file an operation.
package issuers

import (
	"time"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates/issuer"
)

// Operations are the routes.
func Operations(s *issuer.Service) []wire.Operation {
	d := door{s}
	return []wire.Operation{
		{Name: "CertificateIssuersList", Method: "GET", Path: "/certificates/issuers", Handle: d.list},
		{Name: "CertificateIssuerGet", Method: "GET", Path: "/certificates/issuers/{name}", Handle: d.get},
		{Name: "CertificateIssuerSet", Method: "PUT", Path: "/certificates/issuers/{name}", Handle: d.set},
		{Name: "CertificateIssuerUpdate", Method: "PATCH", Path: "/certificates/issuers/{name}", Handle: d.update},
		{Name: "CertificateIssuerDelete", Method: "DELETE", Path: "/certificates/issuers/{name}", Handle: d.delete},
	}
}

type door struct{ s *issuer.Service }

// bundle is IssuerBundle.
type bundle struct {
	ID           string        `json:"id"`
	Provider     string        `json:"provider"`
	Credentials  *credentials  `json:"credentials,omitempty"`
	Organization *organization `json:"org_details,omitempty"`
	Attributes   attributes    `json:"attributes"`
}

// parameters are CertificateIssuerSetParameters and CertificateIssuerUpdateParameters.
type parameters struct {
	Provider     string        `json:"provider"`
	Credentials  *credentials  `json:"credentials"`
	Organization *organization `json:"org_details"`
	Attributes   *attributes   `json:"attributes"`
}

// credentials are IssuerCredentials. The password comes in and never goes out.
type credentials struct {
	AccountID string          `json:"account_id,omitempty"`
	Password  issuer.Password `json:"pwd,omitempty"`
}

// organization is OrganizationDetails.
type organization struct {
	ID     string  `json:"id,omitempty"`
	Admins []admin `json:"admin_details,omitzero"`
}

// admin is AdministratorDetails.
type admin struct {
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	Email     string `json:"email,omitempty"`
	Phone     string `json:"phone,omitempty"`
}

// attributes are IssuerAttributes, in seconds since 1970.
type attributes struct {
	Enabled *bool `json:"enabled,omitempty"`
	Created int64 `json:"created,omitempty"`
	Updated int64 `json:"updated,omitempty"`
}

// request reads the parameters of set and update.
func request(q *wire.Request) (issuer.Request, error) {
	var in parameters
	if err := q.Decode(&in); err != nil {
		return issuer.Request{}, err
	}
	out := issuer.Request{Provider: in.Provider}
	if c := in.Credentials; c != nil {
		out.Credentials = &issuer.Credentials{AccountID: c.AccountID, Password: c.Password}
	}
	if o := in.Organization; o != nil {
		out.Organization = &issuer.Organization{ID: o.ID, Admins: admins[issuer.Admin](o.Admins)}
	}
	if in.Attributes != nil {
		out.Enabled = in.Attributes.Enabled
	}
	return out, nil
}

func address(q *wire.Request, name string) string { return q.Base + "/certificates/issuers/" + name }

// answer is a bundle, or err.
func answer(q *wire.Request, i issuer.Issuer, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	b := bundle{ID: address(q, i.Name), Provider: i.Provider, Attributes: attributes{Enabled: &i.Enabled, Created: unix(i.Created), Updated: unix(i.Updated)}}
	if c := i.Credentials; c != nil {
		b.Credentials = &credentials{AccountID: c.AccountID}
	}
	if o := i.Organization; o != nil {
		b.Organization = &organization{ID: o.ID, Admins: admins[admin](o.Admins)}
	}
	return wire.Response{Body: b}, nil
}

// admins turns persons of one type into those of the other. An empty list stays one.
func admins[to, from admin | issuer.Admin](list []from) []to {
	if list == nil {
		return nil
	}
	out := make([]to, 0, len(list))
	for _, a := range list {
		out = append(out, to(a))
	}
	return out
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
