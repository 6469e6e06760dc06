package acme

import "net/http"

type directory struct {
	NewNonce         string `json:"newNonce"`
	NewAccount       string `json:"newAccount"`
	NewOrder         string `json:"newOrder"`
	NewAuthorization string `json:"newAuthz"`
	Revoke           string `json:"revokeCert"`
	KeyChange        string `json:"keyChange"`
	RenewalInfo      string `json:"renewalInfo"` // RFC 9773
	Meta             meta   `json:"meta"`
}

type meta struct {
	Terms    string            `json:"termsOfService,omitempty"`
	Website  string            `json:"website,omitempty"`
	CAA      []string          `json:"caaIdentities,omitempty"`
	External bool              `json:"externalAccountRequired,omitzero"`
	Profiles map[string]string `json:"profiles"` // draft-ietf-acme-profiles
}

// directory is RFC 8555 section 7.1.1.
func (o *door) directory(x *exchange) error {
	return x.answer(http.StatusOK, directory{
		NewNonce: x.url("nonce"), NewAccount: x.url("new-account"), NewOrder: x.url("new-order"), NewAuthorization: x.url("new-authorization"),
		Revoke: x.url("revoke"), KeyChange: x.url("key-change"), RenewalInfo: x.url("renewal-info"),
		Meta: meta{
			Terms: o.Terms, Website: o.Website, CAA: o.CAA, External: x.server.Door.ExternalAccount,
			Profiles: map[string]string{x.server.Profile.Name: x.server.Profile.Title},
		},
	})
}

// nonce is RFC 8555 section 7.2.
func (o *door) nonce(x *exchange) error {
	x.w.Header().Set("Replay-Nonce", o.Nonces.Make())
	if x.q.Method == http.MethodGet {
		x.w.WriteHeader(http.StatusNoContent)
	}
	return nil
}
