package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

func (a *door) issuanceOperations() {
	const tag = "authorities"
	register(a, tag, operation{id: "listIssued", method: http.MethodGet, path: "/authorities/{authority}/certificates", summary: "List what an authority has issued, newest first",
		action: issuance.ReadCertificates, scope: "/authorities/{authority}"}, a.listIssued)
}

// issuedModel is a certificate that an authority has made.
type issuedModel struct {
	Authority   string    `json:"authority"`
	Serial      string    `json:"serial"`
	SHA256      string    `json:"sha256,omitempty"`
	Profile     string    `json:"profile"`
	Subject     string    `json:"subject"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	State       string    `json:"state" enum:"intended,issued,failed,revoked"`
	RevokedAt   time.Time `json:"revokedAt,omitzero"`
	Reason      string    `json:"reason,omitempty" doc:"of the revocation"`
	Certificate string    `json:"certificate,omitempty" doc:"PEM"`
	Chain       string    `json:"chain,omitempty" doc:"PEM, the issuing authority first, the root last"`
}

func modelOfIssued(x issuance.Certificate) issuedModel {
	m := issuedModel{
		Authority: x.Authority, Serial: x.Serial, SHA256: x.SHA256, Profile: x.Profile, Subject: x.Subject, NotBefore: x.NotBefore, NotAfter: x.NotAfter,
		State: string(x.State), RevokedAt: x.RevokedAt, Reason: x.Reason,
	}
	if len(x.DER) > 0 {
		m.Certificate = pemOf(x.DER)
	}
	return m
}

func (a *door) issueCertificate(ctx context.Context, c access.Caller, in *struct {
	Profile string `path:"profile" maxLength:"63"`
	Body    struct {
		CSR          string          `json:"csr" doc:"PKCS #10, PEM. Its key is taken, and its names where none are given here"`
		Authority    string          `json:"authority,omitempty" maxLength:"63" doc:"default: the profile's first"`
		CommonName   string          `json:"commonName,omitempty" maxLength:"64"`
		Subject      profile.Subject `json:"subject,omitempty" doc:"attributes besides the common name, such as {\"O\":[\"Example\"]}; default: those of the CSR. The profile says which it takes"`
		Names        *profile.Names  `json:"names,omitempty" doc:"default: those of the CSR"`
		ValidityDays int             `json:"validityDays,omitempty" minimum:"0" maximum:"36500" doc:"default: the profile's"`
		Request      string          `json:"request,omitempty" maxLength:"128" doc:"an id of yours: the same again returns the same certificate"`
		Owner        string          `json:"owner,omitempty" maxLength:"200" doc:"team or person who answers for it"`
	}
}) (*enrolledAnswer, error) {
	der, err := csrOf(in.Body.CSR)
	if err != nil {
		return nil, err
	}
	ask := enrollment.Ask{
		Door: "rest", Once: in.Body.Request, Profile: in.Profile, Authority: in.Body.Authority, CSR: der, CommonName: in.Body.CommonName, Subject: in.Body.Subject,
		Validity: time.Duration(in.Body.ValidityDays) * 24 * time.Hour, Owner: in.Body.Owner,
	}
	if in.Body.Names != nil {
		ask.Names = *in.Body.Names
	}
	made, err := a.Requests.Enroll(ctx, c, ask)
	return enrolledOf(made, http.StatusCreated, err)
}

func (a *door) listIssued(ctx context.Context, c access.Caller, in *struct {
	AuthorityPath
	Paging
	Profile string `query:"profile" maxLength:"63"`
	State   string `query:"state" enum:"intended,issued,failed,revoked"`
}) (*page[issuedModel], error) {
	list, next, err := a.Issuance.List(ctx, c, issuance.Filter{Authority: in.Authority, Profile: in.Profile, State: issuance.State(in.State)}, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]issuedModel, len(list))
	for i, x := range list {
		items[i] = modelOfIssued(x)
	}
	return pageOf(items, next), nil
}
