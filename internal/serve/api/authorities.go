package api

import (
	"context"
	"encoding/pem"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

// authorityModel is an authority as the API shows it.
type authorityModel struct {
	ID          string    `json:"id"`
	Parent      string    `json:"parent,omitempty" doc:"the authority that signed it; none for a root"`
	Subject     string    `json:"subject"`
	Serial      string    `json:"serial"`
	SHA256      string    `json:"sha256"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	Keystore    string    `json:"keystore" doc:"what protects the key"`
	State       string    `json:"state"`
	Certificate string    `json:"certificate" doc:"PEM"`
}

func modelOfAuthority(x authority.Authority) authorityModel {
	return authorityModel{
		ID: x.ID, Parent: x.Parent, Subject: x.Subject, Serial: x.Serial, SHA256: x.SHA256, NotBefore: x.NotBefore, NotAfter: x.NotAfter,
		Keystore: x.Keystore, State: string(x.State), Certificate: pemOf(x.Certificate),
	}
}

func pemOf(ders ...[]byte) string {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return string(out)
}

func (a *door) authorityOperations() {
	const tag = "authorities"
	register(a, operation{id: "listAuthorities", method: http.MethodGet, path: "/authorities", summary: "List authorities"}, tag, a.listAuthorities)
	register(a, operation{id: "listProfiles", method: http.MethodGet, path: "/profiles", summary: "List profiles"}, tag, a.listProfiles)
	register(a, operation{id: "issueCertificate", method: http.MethodPost, path: "/profiles/{profile}/certificates", summary: "Issue a certificate for a CSR", status: http.StatusCreated}, tag, a.issueCertificate)
}

func (a *door) listAuthorities(ctx context.Context, c access.Caller, in *paging) (*page[authorityModel], error) {
	list, err := a.Authorities.List(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	var out page[authorityModel]
	out.Body.Items = make([]authorityModel, 0, len(list))
	for _, x := range list {
		out.Body.Items = append(out.Body.Items, modelOfAuthority(x))
	}
	if len(list) == in.Limit {
		out.Body.Next = list[len(list)-1].ID
	}
	return &out, nil
}

func (a *door) listProfiles(ctx context.Context, c access.Caller, _ *struct{}) (*page[profile.Profile], error) {
	list, err := a.Issuance.Profiles(ctx, c)
	if err != nil {
		return nil, err
	}
	var out page[profile.Profile]
	out.Body.Items = list
	return &out, nil
}

type issuedOutput struct {
	Body struct {
		Authority   string    `json:"authority"`
		Serial      string    `json:"serial"`
		SHA256      string    `json:"sha256"`
		NotBefore   time.Time `json:"notBefore"`
		NotAfter    time.Time `json:"notAfter"`
		Certificate string    `json:"certificate" doc:"PEM"`
		Chain       string    `json:"chain" doc:"PEM, the issuing authority first, the root last"`
	}
}

func (a *door) issueCertificate(ctx context.Context, c access.Caller, in *struct {
	Profile string `path:"profile"`
	Body    struct {
		CSR          string        `json:"csr" doc:"PKCS #10, PEM"`
		Authority    string        `json:"authority,omitempty" doc:"default: the profile's first"`
		CommonName   string        `json:"commonName,omitempty"`
		Names        profile.Names `json:"names,omitzero" doc:"default: those of the CSR"`
		ValidityDays int           `json:"validityDays,omitempty" minimum:"0" maximum:"36500" doc:"default: the profile's"`
	}
}) (*issuedOutput, error) {
	made, err := a.Issuance.Issue(ctx, c, issuance.Request{
		Profile: in.Profile, Authority: in.Body.Authority, CSR: []byte(in.Body.CSR), CommonName: in.Body.CommonName, Names: in.Body.Names,
		Validity: time.Duration(in.Body.ValidityDays) * 24 * time.Hour,
	})
	if err != nil {
		return nil, err
	}
	var out issuedOutput
	b := &out.Body
	b.Authority, b.Serial, b.SHA256, b.NotBefore, b.NotAfter = made.Authority, made.Serial, made.SHA256, made.NotBefore, made.NotAfter
	b.Certificate, b.Chain = pemOf(made.DER), pemOf(made.Chain...)
	return &out, nil
}
