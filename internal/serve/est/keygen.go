package est

import (
	"encoding/base64"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"

	"chatelaine.dev/internal/pki/cms"
)

// serverKeygen: RFC 7030 section 4.4. The answer has the key in one part and the
// certificate in the other.
func (d door) serverKeygen(w http.ResponseWriter, r *http.Request) error {
	csr, err := body(w, r)
	if err != nil {
		return err
	}
	made, err := d.service.ServerKeygen(r.Context(), visitor(r), r.PathValue("profile"), csr)
	if err != nil {
		return err
	}
	message, err := cms.Certificates(made.Certificate)
	if err != nil {
		return err
	}
	parts := multipart.NewWriter(w)
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+parts.Boundary())
	w.WriteHeader(http.StatusOK)
	for _, p := range []struct {
		kind string
		der  []byte
	}{{"application/pkcs8", made.Key.Reveal()}, {"application/pkcs7-mime; smime-type=certs-only", message}} {
		part, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {p.kind}, "Content-Transfer-Encoding": {"base64"}})
		if err != nil {
			return nil // the client is gone
		}
		_, _ = io.WriteString(part, base64.StdEncoding.EncodeToString(p.der)+"\r\n")
	}
	_ = parts.Close()
	return nil
}
