package scep

import (
	"bytes"
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/holder"
	"chatelaine.dev/internal/lifecycle/scep/message"
	"chatelaine.dev/internal/pki/issuance"
)

// maxList bounds the CRL that anybody may have signed and encrypted for himself. Longer
// ones are at the address that is in the certificates.
const maxList = 1 << 20

// poll answers CertPoll (section 3.3.3): what became of the transaction. Only the key
// that began it is answered. What the message names is the client's memory and not ours, so
// it is not even decrypted.
func (x exchange) poll(ctx context.Context) (message.Answer, error) {
	made, err := x.s.desk.Find(ctx, x.caller(""), x.key("poll"))
	if fault.Is(err, fault.NotFound) {
		return message.Answer{}, fault.New(fault.NotFound, "NothingWaits", "nothing waits for this transaction and this key")
	}
	if err != nil {
		return message.Answer{}, err
	}
	return x.made(made)
}

// certificate answers GetCert (section 3.3.4). It gives a certificate to who holds one of
// the same profile and subject: nobody learns of others by trying serials.
func (x exchange) certificate(ctx context.Context) (message.Answer, error) {
	mine, err := holder.Check(ctx, x.s.d.Issued, x.message.Signer, x.s.d.Now())
	if err != nil {
		return message.Answer{}, err
	}
	asked, err := x.named()
	if err != nil {
		return message.Answer{}, err
	}
	found, err := x.s.d.Issued.CertificateBySerial(ctx, x.authority(), issuance.FormatSerial(asked.Number))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return message.Answer{}, err
	}
	if err != nil || len(found.DER) == 0 || mine.Profile != x.profile.Name || found.Profile != mine.Profile || found.Subject != mine.Subject {
		return message.Answer{}, errNoCertificate()
	}
	return x.success([][]byte{found.DER}, nil)
}

// crl answers GetCRL (section 3.3.5): the list is for everybody. It is the profile's
// authority's, whatever the message names.
func (x exchange) crl(ctx context.Context) (message.Answer, error) {
	list, err := x.s.d.CRLs.Current(ctx, x.authority(), "")
	if err != nil {
		return message.Answer{}, err
	}
	if len(list.DER) > maxList {
		return message.Answer{}, fault.New(fault.Invalid, "ListTooLarge", "the list has %d bytes; fetch it from the address in the certificates", len(list.DER))
	}
	return x.success(nil, [][]byte{list.DER})
}

// named reads which certificate a message means. It must be of our authority; all that is
// wrong is answered alike, see unreadable.
func (x exchange) named() (message.Serial, error) {
	content, err := x.decrypt()
	if err != nil {
		return message.Serial{}, errNoCertificate()
	}
	asked, err := message.ReadSerial(content)
	if err != nil || !bytes.Equal(asked.Issuer.FullBytes, x.registrar.Current.Certificate.RawIssuer) {
		return asked, errNoCertificate()
	}
	return asked, nil
}

func errNoCertificate() error {
	return fault.New(fault.NotFound, "CertificateNotFound", "there is no such certificate for you")
}

// authority is who issued the registrar's certificate.
func (x exchange) authority() string { return x.registrar.Current.Authority }
