package est

import (
	"net/http"

	"chatelaine.dev/internal/pki/cms"
)

// caCerts: RFC 7030 section 4.1.
func (d door) caCerts(w http.ResponseWriter, r *http.Request) error {
	ders, err := d.service.CACerts(r.Context(), r.PathValue("profile"))
	if err != nil {
		return err
	}
	message, err := cms.Certificates(ders...)
	if err != nil {
		return err
	}
	send(w, "application/pkcs7-mime", message)
	return nil
}

// attributes: RFC 7030 section 4.5.
func (d door) attributes(w http.ResponseWriter, r *http.Request) error {
	der, err := d.service.Attributes(r.Context(), r.PathValue("profile"))
	if err != nil {
		return err
	}
	send(w, "application/csrattrs", der)
	return nil
}
