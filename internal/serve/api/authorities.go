package api

import (
	"context"
	"encoding/pem"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
)

// authorityModel is an authority as the API shows it.
type authorityModel struct {
	ID          string    `json:"id"`
	Parent      string    `json:"parent,omitempty" doc:"the authority that signed it; none for a root"`
	Subject     string    `json:"subject"`
	Serial      string    `json:"serial"`
	SHA256      string    `json:"sha256"`
	NotBefore   time.Time `json:"notBefore,omitzero"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
	Keystore    string    `json:"keystore" doc:"what protects the key"`
	State       string    `json:"state" enum:"pending,active,disabled,superseded,revoked"`
	Successor   string    `json:"successor,omitempty" doc:"the authority that issues in its place"`
	Certificate string    `json:"certificate,omitempty" doc:"PEM; none while it is pending"`
	Above       string    `json:"above,omitempty" doc:"PEM: the certificates over one that was certified from outside, the root last"`
}

func modelOfAuthority(x authority.Authority) authorityModel {
	m := authorityModel{
		ID: x.ID, Parent: x.Parent, Subject: x.Subject, Serial: x.Serial, SHA256: x.SHA256, NotBefore: x.NotBefore, NotAfter: x.NotAfter,
		Keystore: x.Keystore, State: string(x.State), Successor: x.Successor, Above: pemOf(x.Outside()...),
	}
	if len(x.Certificate) > 0 {
		m.Certificate = pemOf(x.Certificate)
	}
	return m
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
	register(a, tag, operation{id: "listAuthorities", method: http.MethodGet, path: "/authorities", summary: "List authorities",
		action: authority.ReadAuthorities, scope: "/"}, a.listAuthorities)
	register(a, tag, operation{id: "getAuthority", method: http.MethodGet, path: "/authorities/{authority}", summary: "Get an authority",
		action: authority.ReadAuthorities, scope: "/authorities/{authority}"}, a.getAuthority)
	a.authorityChanges()
}

func (a *door) listAuthorities(ctx context.Context, c access.Caller, in *Paging) (*page[authorityModel], error) {
	list, err := a.Authorities.List(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]authorityModel, len(list))
	for i, x := range list {
		items[i] = modelOfAuthority(x)
	}
	return pageOf(items, in.nextOf(len(items), func(last int) string { return items[last].ID })), nil
}

// AuthorityPath names an authority.
type AuthorityPath struct {
	Authority string `path:"authority" maxLength:"63"`
}

func (a *door) getAuthority(ctx context.Context, c access.Caller, in *AuthorityPath) (*answer[authorityModel], error) {
	x, err := a.Authorities.Get(ctx, c, in.Authority)
	if fault.Is(err, fault.NotFound) {
		err = fault.Wrap(err, fault.NotFound, "UnknownAuthority", "there is no authority of this id; the list of authorities names each")
	}
	if err != nil {
		return nil, err
	}
	return &answer[authorityModel]{modelOfAuthority(x)}, nil
}
