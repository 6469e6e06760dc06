package api

import (
	"context"
	"encoding/pem"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/keystore"
)

func (a *door) authorityChanges() {
	const tag = "authorities"
	const one = "/authorities/{authority}"
	write := operation{action: authority.WriteAuthorities, scope: one}
	read := operation{action: authority.ReadAuthorities, scope: one}
	create := operation{id: "createAuthority", method: http.MethodPost, path: "/authorities", summary: "Make an authority: a root, one below another, or one that somebody else certifies",
		about:  "Without parent it is a root. With external it waits for a certificate: take its CSR, and import what the other CA makes of it.",
		action: authority.WriteAuthorities, scope: "/authorities/{id of the body}", status: http.StatusCreated}
	register(a, tag, create, a.createAuthority)
	register(a, tag, write.as("setAuthorityIssuing", http.MethodPatch, one, "Have an authority issue, or stop; it signs its CRLs in any case"), a.setAuthorityIssuing)
	register(a, tag, read.as("getAuthorityRequest", http.MethodGet, one+"/csr", "Get a CSR for the name and key of an authority, for another CA to certify"), a.getAuthorityRequest)
	register(a, tag, write.as("importAuthorityCertificate", http.MethodPost, one+"/import", "Import the certificate that another CA made for the CSR, with those above it"), a.importAuthorityCertificate)
	register(a, tag, read.as("listCrossCertificates", http.MethodGet, one+"/cross-certificates", "List the further certificates of an authority"), a.listCrossCertificates)
	register(a, tag, write.as("crossSignAuthority", http.MethodPost, one+"/cross-certificates", "Certify the name and key of an authority by another one").answering(http.StatusCreated), a.crossSignAuthority)
	register(a, tag, write.as("succeedAuthority", http.MethodPost, one+"/successor", "Have a new authority, or one that is there, issue in the place of this one").answering(http.StatusCreated), a.succeedAuthority)
}

// LimitsDraft are the limits of an authority. It is exported as Paging is.
type LimitsDraft struct {
	PathLength *int           `json:"pathLength,omitempty" minimum:"0" maximum:"7" doc:"how many authorities there may be on a way down from this one; default: any number below a root, none below others"`
	Permitted  *profile.Names `json:"permitted,omitempty" doc:"names that may be certified below: DNS names with all below, networks, mailboxes, hosts or .domains"`
	Excluded   *profile.Names `json:"excluded,omitempty" doc:"names that may not"`
}

func (d LimitsDraft) limits() authority.Limits {
	l := authority.Limits{PathLength: d.PathLength}
	if d.Permitted != nil {
		l.Permitted = *d.Permitted
	}
	if d.Excluded != nil {
		l.Excluded = *d.Excluded
	}
	return l
}

// AuthorityDraft is an authority to be made.
type AuthorityDraft struct {
	ID           string `json:"id" maxLength:"63" doc:"lower-case letters, digits and hyphens; never used twice"`
	CommonName   string `json:"commonName,omitempty" maxLength:"64"`
	Organization string `json:"organization,omitempty" maxLength:"64"`
	Key          string `json:"key,omitempty" enum:"P-256,P-384,P-521,RSA 2048,RSA 3072,RSA 4096,Ed25519,ML-DSA-44,ML-DSA-65,ML-DSA-87,SLH-DSA-SHA2-128s,SLH-DSA-SHA2-128f,SLH-DSA-SHA2-192s,SLH-DSA-SHA2-256s,SLH-DSA-SHAKE-128s,SLH-DSA-SHAKE-192s,SLH-DSA-SHAKE-256s" doc:"default: P-256, or the predecessor's; SLH-DSA for roots alone"`
	ValidityDays int    `json:"validityDays,omitempty" minimum:"0" maximum:"10980"`
	LimitsDraft
}

func (d AuthorityDraft) spec(key string) (authority.Spec, error) {
	s := authority.Spec{
		ID: d.ID, CommonName: d.CommonName, Organization: d.Organization, Validity: time.Duration(d.ValidityDays) * 24 * time.Hour, Limits: d.limits(),
	}
	if d.Key != "" {
		key = d.Key
	}
	if key == "" {
		return s, nil
	}
	var err error
	s.Key, err = keystore.AuthoritySpec(key)
	return s, err
}

func (a *door) createAuthority(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		AuthorityDraft
		Parent   string `json:"parent,omitempty" maxLength:"63" doc:"the authority that signs it; none for a root"`
		External bool   `json:"external,omitempty" doc:"somebody else certifies it"`
	}
}) (*answer[authorityModel], error) {
	s, err := in.Body.spec("P-256")
	if err != nil {
		return nil, err
	}
	made, err := a.Authorities.Make(ctx, c, authority.Origin{Parent: in.Body.Parent, External: in.Body.External}, s)
	return answerOf(modelOfAuthority(made), err)
}

func (a *door) setAuthorityIssuing(ctx context.Context, c access.Caller, in *struct {
	AuthorityPath
	Body struct {
		Issuing bool `json:"issuing"`
	}
}) (*answer[authorityModel], error) {
	x, err := a.Authorities.SetIssuing(ctx, c, in.Authority, in.Body.Issuing)
	return answerOf(modelOfAuthority(x), err)
}

// requestModel is a CSR.
type authorityRequestModel struct {
	CSR string `json:"csr" doc:"PKCS #10, PEM"`
}

func (a *door) getAuthorityRequest(ctx context.Context, c access.Caller, in *AuthorityPath) (*answer[authorityRequestModel], error) {
	der, err := a.Authorities.Request(ctx, c, in.Authority)
	return answerOf(authorityRequestModel{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}, err)
}

func (a *door) importAuthorityCertificate(ctx context.Context, c access.Caller, in *struct {
	AuthorityPath
	Body struct {
		Certificates string `json:"certificates" maxLength:"262144" doc:"PEM: the authority's own and each one up to the root, in any order"`
	}
}) (*answer[authorityModel], error) {
	x, err := a.Authorities.Import(ctx, c, in.Authority, []byte(in.Body.Certificates))
	return answerOf(modelOfAuthority(x), err)
}

// crossModel is a further certificate of an authority.
type crossModel struct {
	Authority   string    `json:"authority"`
	Issuer      string    `json:"issuer,omitempty" doc:"the authority that signed it; none when it came from outside"`
	Serial      string    `json:"serial"`
	SHA256      string    `json:"sha256"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	Revoked     bool      `json:"revoked"`
	Certificate string    `json:"certificate" doc:"PEM"`
}

func modelOfCross(x authority.Cross) crossModel {
	return crossModel{
		Authority: x.Authority, Issuer: x.Issuer, Serial: x.Serial, SHA256: x.SHA256, NotBefore: x.NotBefore, NotAfter: x.NotAfter,
		Revoked: x.Revoked, Certificate: pemOf(x.Certificate),
	}
}

func (a *door) listCrossCertificates(ctx context.Context, c access.Caller, in *struct {
	AuthorityPath
	Paging
}) (*page[crossModel], error) {
	list, err := a.Authorities.Crosses(ctx, c, in.Authority)
	if err != nil {
		return nil, err
	}
	models := make([]crossModel, len(list))
	for i, x := range list {
		models[i] = modelOfCross(x)
	}
	return cut(in.Paging, models, func(m crossModel) string { return m.SHA256 }), nil
}

func (a *door) crossSignAuthority(ctx context.Context, c access.Caller, in *struct {
	AuthorityPath
	Body struct {
		Issuer       string `json:"issuer" maxLength:"63" doc:"the authority that signs"`
		ValidityDays int    `json:"validityDays,omitempty" minimum:"0" maximum:"10980" doc:"default: as long as both are valid"`
		LimitsDraft
	}
}) (*answer[crossModel], error) {
	x, err := a.Authorities.CrossSign(ctx, c, in.Authority, in.Body.Issuer, time.Duration(in.Body.ValidityDays)*24*time.Hour, in.Body.limits())
	return answerOf(modelOfCross(x), err)
}

func (a *door) succeedAuthority(ctx context.Context, c access.Caller, in *struct {
	AuthorityPath
	Body struct {
		AuthorityDraft
		Existing bool `json:"existing,omitempty" doc:"id names an authority that is there; nothing else is said of it"`
	}
}) (*answer[authorityModel], error) {
	s, err := in.Body.spec("")
	if err != nil {
		return nil, err
	}
	x, err := a.Authorities.Replace(ctx, c, in.Authority, s, in.Body.Existing)
	return answerOf(modelOfAuthority(x), err)
}
