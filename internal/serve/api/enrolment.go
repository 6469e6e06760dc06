package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
)

func (a *door) enrolmentOperations() {
	const tag = "authorities"
	issue := operation{action: issuance.IssueCertificates, scope: "/authorities/{authority}/profiles/{profile}", status: http.StatusCreated}
	byCSR := issue.as("issueCertificate", http.MethodPost, "/profiles/{profile}/certificates", "Issue a certificate for a CSR")
	byCSR.about = "201 with the certificate, or 202 while a person must agree or an issuer thinks: then collect it."
	register(a, tag, byCSR, a.issueCertificate)
	generate := issue.as("generateCertificate", http.MethodPost, "/profiles/{profile}/bundles", "Make a key and a certificate for it")
	generate.about = "The key is in the answer and nowhere else, unless it is to be kept in a vault. A profile that wants an approval makes none."
	register(a, tag, generate, a.generateCertificate)
	register(a, "requests", operation{id: "collectCertificate", method: http.MethodGet, path: "/requests/{request}/certificate",
		summary: "Collect the certificate that was asked for", action: enrollment.Read, scope: "/",
		about: "Who asked for it may collect it with the right to issue alone. 202 while it is under way."}, a.collectCertificate)
}

// enrolledModel is what became of a request for a certificate.
type enrolledModel struct {
	Request     string    `json:"request" doc:"id, by which it is collected"`
	State       string    `json:"state" enum:"issued,pending,in_progress,failed,denied,canceled,expired"`
	Problem     string    `json:"problem,omitempty"`
	Authority   string    `json:"authority"`
	Serial      string    `json:"serial,omitempty"`
	SHA256      string    `json:"sha256,omitempty"`
	Profile     string    `json:"profile,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	NotBefore   time.Time `json:"notBefore,omitzero"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
	Certificate string    `json:"certificate,omitempty" doc:"PEM"`
	Chain       string    `json:"chain,omitempty" doc:"PEM, the issuing authority first, without the root"`
}

type enrolledAnswer struct {
	Status     int
	RetryAfter string `header:"Retry-After"`
	Body       enrolledModel
}

func enrolledOf(x enrollment.Enrolled, status int, err error) (*enrolledAnswer, error) {
	if err != nil {
		return nil, err
	}
	out := &enrolledAnswer{Status: status, Body: enrolledModel{Request: x.Request, State: string(x.State), Problem: x.Problem, Authority: x.Authority}}
	if x.State.Live() {
		out.Status, out.RetryAfter = http.StatusAccepted, "10"
	}
	if x.State != enrollment.Completed {
		return out, nil
	}
	leaf, err := x509.ParseCertificate(x.Certificate)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(leaf.Raw)
	m := &out.Body
	m.State, m.Serial, m.SHA256 = string(issuance.Issued), issuance.FormatSerial(leaf.SerialNumber), hex.EncodeToString(sum[:])
	m.Subject, m.NotBefore, m.NotAfter = leaf.Subject.String(), leaf.NotBefore, leaf.NotAfter
	m.Certificate, m.Chain = pemOf(leaf.Raw), pemOf(x.Chain...)
	return out, nil
}

// csrOf reads a CSR in PEM.
func csrOf(text string) ([]byte, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fault.New(fault.Invalid, "BadCSR", "the PEM text is not one CERTIFICATE REQUEST")
	}
	return block.Bytes, nil
}

func (a *door) collectCertificate(ctx context.Context, c access.Caller, in *RequestPath) (*enrolledAnswer, error) {
	made, err := a.Requests.Collect(ctx, c, in.Request)
	return enrolledOf(made, http.StatusOK, err)
}

type bundleModel struct {
	enrolledModel
	Format string `json:"format"`
	Bundle string `json:"bundle" contentEncoding:"base64" doc:"key, certificate and chain"`
}

func (a *door) generateCertificate(ctx context.Context, c access.Caller, in *struct {
	Profile string `path:"profile" maxLength:"63"`
	Body    struct {
		Authority    string        `json:"authority,omitempty" maxLength:"63" doc:"default: the profile's first"`
		CommonName   string        `json:"commonName,omitempty" maxLength:"64"`
		Names        profile.Names `json:"names,omitzero"`
		Key          string        `json:"key,omitempty" maxLength:"20" default:"P-256" doc:"as profiles name it: P-256, RSA 3072"`
		ValidityDays int           `json:"validityDays,omitempty" minimum:"0" maximum:"36500" doc:"default: the profile's"`
		Format       string        `json:"format,omitempty" enum:"pfx,pem,jks" default:"pfx"`
		Password     string        `json:"password,omitempty" maxLength:"128" doc:"of pfx and jks, 8 characters at least; pem has none"`
		Keep         *lineage.Keep `json:"keep,omitempty" doc:"a certificate of a vault of which this shall be a version too"`
		Owner        string        `json:"owner,omitempty" maxLength:"200" doc:"team or person who answers for it"`
	}
}) (*answer[bundleModel], error) {
	m := enrollment.Making{
		Ask: enrollment.Ask{
			Door: "rest", Profile: in.Profile, Authority: in.Body.Authority, CommonName: in.Body.CommonName, Names: in.Body.Names,
			Validity: time.Duration(in.Body.ValidityDays) * 24 * time.Hour, Owner: in.Body.Owner,
		},
		Key: in.Body.Key, Format: enrollment.Format(in.Body.Format), Password: access.NewSecret(in.Body.Password), Keep: in.Body.Keep,
	}
	made, err := a.Requests.Generate(ctx, c, m)
	if err != nil {
		return nil, err
	}
	shown, err := enrolledOf(made.Enrolled, http.StatusCreated, nil)
	if err != nil {
		return nil, err
	}
	return &answer[bundleModel]{bundleModel{enrolledModel: shown.Body, Format: in.Body.Format, Bundle: base64.StdEncoding.EncodeToString(made.Bundle.Reveal())}}, nil
}
