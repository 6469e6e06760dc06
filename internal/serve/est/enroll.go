package est

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"chatelaine.dev/internal/lifecycle/est"
	"chatelaine.dev/internal/pki/cms"
)

// enroll: RFC 7030 section 4.2.1.
func (d door) enroll(w http.ResponseWriter, r *http.Request) error {
	return certify(w, r, d.service.Enroll)
}

// reenroll: RFC 7030 section 4.2.2.
func (d door) reenroll(w http.ResponseWriter, r *http.Request) error {
	return certify(w, r, d.service.Reenroll)
}

func certify(w http.ResponseWriter, r *http.Request, ask func(context.Context, est.Visitor, string, []byte) (est.Answer, error)) error {
	csr, err := body(w, r)
	if err != nil {
		return err
	}
	made, err := ask(r.Context(), visitor(r), r.PathValue("profile"), csr)
	if err != nil {
		return err
	}
	if made.Wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(made.Wait.Seconds())))
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "The request is under way; send it again later.\n")
		return nil
	}
	message, err := cms.Certificates(made.Certificate) // and no other: RFC 7030 section 4.2.3
	if err != nil {
		return err
	}
	send(w, "application/pkcs7-mime; smime-type=certs-only", message)
	return nil
}
