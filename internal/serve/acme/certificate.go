package acme

import (
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strconv"
	"time"

	"chatelaine.dev/internal/lifecycle/acme"
)

// certificate sends a chain, and names the others (RFC 8555 section 7.4.2).
func (o *door) certificate(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	if err := empty(r); err != nil {
		return err
	}
	id, which := x.q.PathValue("id"), 0
	if text := x.q.PathValue("chain"); text != "" {
		if which, err = strconv.Atoi(text); err != nil || which < 1 || text != strconv.Itoa(which) {
			return missing()
		}
	}
	chain, alternates, err := o.Service.Download(x.q.Context(), r, id, which)
	if err != nil {
		return err
	}
	for n := range alternates + 1 {
		switch {
		case n == which:
		case n == 0:
			x.w.Header().Add("Link", link(x.url("certificate/%s", id), "alternate"))
		default:
			x.w.Header().Add("Link", link(x.url("certificate/%s/%d", id, n), "alternate"))
		}
	}
	x.w.Header().Set("Content-Type", "application/pem-certificate-chain")
	for _, der := range chain {
		_, _ = x.w.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return nil
}

// revoke is RFC 8555 section 7.6.
func (o *door) revoke(x *exchange) error {
	r, err := o.signed(x, acme.ByEither)
	if err != nil {
		return err
	}
	var in struct {
		Certificate string `json:"certificate"`
		Reason      int    `json:"reason"`
	}
	if err := read(r, &in); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(in.Certificate)
	if err != nil {
		return &acme.Problem{Type: "malformed", Detail: "the certificate is base64url of DER, without padding"}
	}
	if err := o.Service.Revoke(x.q.Context(), r, der, in.Reason); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// renewalInfo is RFC 9773 section 4.
func (o *door) renewalInfo(x *exchange) error {
	info, err := o.Service.RenewalInfo(x.q.Context(), x.server, x.q.PathValue("certificate"))
	if err != nil {
		return err
	}
	type window struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	}
	x.retryAfter(info.RetryAfter)
	return x.answer(http.StatusOK, struct {
		Window      window `json:"suggestedWindow"`
		Explanation string `json:"explanationURL,omitempty"`
	}{window{info.Start.UTC(), info.End.UTC()}, info.Explanation})
}
