package scep

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/desk"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/holder"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/lifecycle/scep/message"
)

// maxPending bounds the requests that wait for a person and that nobody had to show a
// password for: anybody may send them.
const maxPending = 200

// enroll answers PKCSReq (section 4.3): a certificate for whoever shows a one-time
// password, or for whom a person vouches.
func (x exchange) enroll(ctx context.Context) (message.Answer, error) {
	csr, err := x.request()
	if err != nil {
		return message.Answer{}, err
	}
	// Section 2.3: before there is a certificate, the message is signed with the CSR's key.
	// Else the answer would be for somebody who need not hold it.
	if subtle.ConstantTimeCompare(csr.RawSubjectPublicKeyInfo, x.message.Signer.RawSubjectPublicKeyInfo) != 1 {
		return message.Answer{}, fault.New(fault.Denied, "OtherKey", "the message must be signed with the key of its CSR; a certificate is renewed by RenewalReq")
	}
	sum := sha256.Sum256(csr.Raw)
	if again, err := x.again(ctx, hex.EncodeToString(sum[:])); !fault.Is(err, fault.NotFound) {
		return again, err
	}
	names, err := x.names(csr)
	if err != nil {
		return message.Answer{}, err
	}
	w := wish{csr: csr, sum: sum}
	switch {
	case x.door.Challenge:
		spent, err := x.s.d.Passcodes.Spend(ctx, passcode.Use{
			Door: Door, Profile: x.profile.Name, Secret: access.NewSecret(message.Challenge(csr)), CSR: sum, Names: names, From: x.from,
		})
		if err != nil {
			return message.Answer{}, err
		}
		w.passcode = spent.ID
		w.who = "passcode " + spent.ID
	case x.door.Approval:
		if err := x.room(ctx); err != nil {
			return message.Answer{}, err
		}
		key := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
		w.who = "key " + hex.EncodeToString(key[:])
	default:
		return message.Answer{}, fault.New(fault.Denied, "DoorClosed", "the profile %s takes renewals only", x.profile.Name)
	}
	return x.ask(ctx, w)
}

// renew answers RenewalReq (section 2.3): the next certificate for who holds the one before.
func (x exchange) renew(ctx context.Context) (message.Answer, error) {
	if !x.door.RenewByCertificate {
		return message.Answer{}, fault.New(fault.Denied, "DoorClosed", "the profile %s takes no renewals by certificate", x.profile.Name)
	}
	old := x.message.Signer
	issued, err := holder.Check(ctx, x.s.d.Issued, old, x.s.d.Now()) // before anything is decrypted for a stranger
	if err != nil {
		return message.Answer{}, err
	}
	csr, err := x.request()
	if err != nil {
		return message.Answer{}, err
	}
	sum := sha256.Sum256(csr.Raw)
	if again, err := x.again(ctx, hex.EncodeToString(sum[:])); !fault.Is(err, fault.NotFound) {
		return again, err
	}
	if _, err := x.names(csr); err != nil {
		return message.Answer{}, err
	}
	switch {
	case issued.Profile != x.profile.Name:
		return message.Answer{}, fault.New(fault.Denied, "OtherProfile", "the certificate was issued by the profile %s; renew it there", issued.Profile)
	case !enrollment.SameSubject(csr, old):
		return message.Answer{}, fault.New(fault.Denied, "NamesDiffer", "the CSR must have the subject and the alternative names of the certificate that it renews")
	}
	return x.ask(ctx, wish{csr: csr, sum: sum, who: "certificate " + issued.SHA256})
}

// maxRSA bounds the work that the signature of a stranger's CSR may cost us, in bits.
const maxRSA = 8192

// request opens the CSR of a message, and checks that it is signed with its own key: of an
// envelope that somebody altered the last blocks are that signature. All that may be wrong
// is answered alike, see unreadable.
func (x exchange) request() (*x509.CertificateRequest, error) {
	content, err := x.decrypt()
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(content)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not readable as PKCS #10")
	}
	if k, ok := csr.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
		return nil, fault.New(fault.Invalid, "BadCSR", "the key of the CSR has more than %d bits", maxRSA)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not signed by its own key")
	}
	return csr, nil
}

// names are all names that the certificate would say, if the door allows them.
func (x exchange) names(csr *x509.CertificateRequest) ([]string, error) {
	names := enrollment.RequestNames(csr).All()
	if csr.Subject.CommonName != "" {
		names = append(names, csr.Subject.CommonName)
	}
	if len(names) == 0 {
		return nil, fault.New(fault.Invalid, "TooFewNames", "the CSR names nobody; ask for a common name or an alternative name")
	}
	if name, outside := passcode.Outside(x.door.Names, names); outside {
		return nil, fault.New(fault.Denied, "NameNotAllowed", "the name %.64q cannot be had by SCEP", name)
	}
	return names, nil
}

// room refuses a request of a stranger while too many wait for a person.
func (x exchange) room(ctx context.Context) error {
	waiting, err := x.s.d.Road.List(ctx, x.caller(""), enrollment.Query{State: enrollment.Pending, Kind: enrollment.Direct, Limit: maxPending})
	if err == nil && len(waiting) == maxPending {
		err = fault.New(fault.Limited, "TooManyWait", "%d requests wait for an approval; come back later", maxPending)
	}
	return err
}

// wish is a CSR that may be asked for.
type wish struct {
	csr      *x509.CertificateRequest
	sum      [sha256.Size]byte // of the CSR
	who      string            // for the record
	passcode string            // id of the one-time password that was taken for it
}

// ask takes the direct road.
func (x exchange) ask(ctx context.Context, w wish) (message.Answer, error) {
	made, err := x.s.desk.Ask(ctx, x.caller(w.who), desk.Wish{
		Ask:      enrollment.Ask{Door: Door, Profile: x.profile.Name, CSR: w.csr.Raw, Approval: x.door.Approval},
		Passcode: w.passcode, Again: x.key(hex.EncodeToString(w.sum[:])), Always: x.key("poll"),
	})
	if err != nil {
		return message.Answer{}, err
	}
	return x.made(made)
}

// again answers a client that sends the same CSR while it waits, or fault.NotFound.
func (x exchange) again(ctx context.Context, more string) (message.Answer, error) {
	made, err := x.s.desk.Again(ctx, x.caller(""), x.key(more))
	if err != nil {
		return message.Answer{}, err
	}
	return x.made(made)
}

func (x exchange) made(r enrollment.Enrolled) (message.Answer, error) {
	switch {
	case r.State == enrollment.Completed:
		return x.success([][]byte{r.Certificate}, nil)
	case r.State.Live():
		return message.Answer{Status: message.Pending}, nil
	}
	return message.Answer{}, fault.New(fault.Denied, "RequestEnded", "the request %s was %s: %s", r.Request, r.State, r.Problem)
}
