package scep

import (
	"bytes"
	"context"
	"encoding/asn1"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/holder"
	"chatelaine.dev/internal/lifecycle/scep/message"
	"chatelaine.dev/internal/pki/issuance"
)

// poll answers CertPoll (section 3.3.3): what became of the transaction. Only the key
// that began it is answered; what the message names is the client's memory and not ours.
func (x exchange) poll(ctx context.Context, content []byte) (message.Answer, error) {
	var names struct{ Issuer, Subject asn1.RawValue }
	if rest, err := asn1.Unmarshal(content, &names); err != nil || len(rest) > 0 {
		return message.Answer{}, fault.New(fault.Invalid, "BadPoll", "the message holds no names of issuer and subject")
	}
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
func (x exchange) certificate(ctx context.Context, content []byte) (message.Answer, error) {
	mine, err := holder.Check(ctx, x.s.d.Issued, x.message.Signer, x.s.d.Now())
	if err != nil {
		return message.Answer{}, err
	}
	asked, err := x.named(content)
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

// crl answers GetCRL (section 3.3.5): the list is for everybody.
func (x exchange) crl(ctx context.Context, content []byte) (message.Answer, error) {
	if _, err := x.named(content); err != nil {
		return message.Answer{}, err
	}
	list, err := x.s.d.CRLs.Current(ctx, x.authority(), "")
	if err != nil {
		return message.Answer{}, err
	}
	return x.success(nil, [][]byte{list.DER})
}

// named reads which certificate a message means. It must be of our authority.
func (x exchange) named(content []byte) (message.Serial, error) {
	asked, err := message.ReadSerial(content)
	if err != nil {
		return asked, err
	}
	if !bytes.Equal(asked.Issuer.FullBytes, x.registrar.Current.Certificate.RawIssuer) {
		return asked, errNoCertificate()
	}
	return asked, nil
}

func errNoCertificate() error {
	return fault.New(fault.NotFound, "CertificateNotFound", "there is no such certificate for you")
}

// authority is who issued the registrar's certificate.
func (x exchange) authority() string { return x.registrar.Current.Authority }
