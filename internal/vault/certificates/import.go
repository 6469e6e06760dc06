package certificates

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
)

// ImportRequest is a certificate with its private key, made elsewhere: Value as it came
// over the wire, or, when Value is empty, Bundle.
type ImportRequest struct {
	Value         Encoded
	Password      Encoded
	Bundle        pfx.Bundle
	Policy        *policy.Policy // nil for one that describes the certificate
	Attributes    object.Attributes
	PreserveOrder bool // false puts the leaf first and its chain after it
}

// Encoded is text that holds a private key or its password. It never prints.
type Encoded string

// Format hides the text from every verb of fmt.
func (Encoded) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the text.
func (Encoded) LogValue() slog.Value { return slog.StringValue(hidden) }

// read decodes the request's key and certificates and tells the content type of the
// format that they came in, or "".
func (q ImportRequest) read() (pfx.Bundle, string, error) {
	switch {
	case q.Value == "":
		return q.Bundle, "", nil
	case pfx.IsPEM(string(q.Value)):
		b, err := pfx.DecodePEM([]byte(q.Value), string(q.Password))
		return b, policy.PEM, err
	}
	text := strings.NewReplacer("\r", "", "\n", "").Replace(string(q.Value))
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return pfx.Bundle{}, "", fault.New(fault.Invalid, "BadParameter", "The parameter value is neither PEM text nor PKCS#12 in base64.")
	}
	const sequence = '0'                                              // with which PKCS#12 in DER begins
	if len(der) > 0 && der[0] != sequence && pfx.IsPEM(string(der)) { // as Microsoft's older client for Python sends PEM
		b, err := pfx.DecodePEM(der, string(q.Password))
		return b, policy.PEM, err
	}
	b, err := pfx.Decode(der, string(q.Password))
	return b, policy.PKCS12, err
}

// MayImport says whether c may import a certificate of a name, for whoever arranges that
// the product does it later.
func (s *Service) MayImport(ctx context.Context, c access.Caller, r object.Ref) error {
	return s.shelf.Permit(ctx, c, importing, r)
}

// Import stores a certificate with its key as a new version. The control plane uses it
// for certificates that it renewed.
func (s *Service) Import(ctx context.Context, c access.Caller, r object.Ref, q ImportRequest) (cert Certificate, err error) {
	err = s.shelf.Call(ctx, c, importing, r, func(v *object.Vault) error {
		if err := object.CheckName(r.Name); err != nil {
			return err
		}
		if err := q.Attributes.Check(s.shelf.Limits); err != nil {
			return err
		}
		head, st, err := s.current(ctx, v, r.Name)
		if err != nil {
			return err
		}
		if st.Pending.inProgress() {
			return errInProgress()
		}
		n, err := q.content(head, st)
		if err != nil {
			return err
		}
		if err := checkIssuer(ctx, v, n.policy.Issuer); err != nil {
			return err
		}
		cert, err = s.bring(ctx, creation{v: v, caller: c, ref: r}, q, n)
		return err
	})
	if err != nil {
		return Certificate{}, err
	}
	return cert, nil
}

// content reads the request and finds its policy. The key is still to be made.
func (q ImportRequest) content(head object.Head, st state) (content, error) {
	b, format, err := q.read()
	if err != nil {
		return content{}, err
	}
	leaf, err := b.Leaf()
	if err != nil {
		return content{}, err
	}
	p, err := policy.Describe(leaf, format)
	if err != nil {
		return content{}, err
	}
	if head.Name != "" {
		p = p.Inherit(st.Policy, format)
	}
	if q.Policy != nil {
		p = p.Merge(*q.Policy).Complete()
		if err := p.CheckSent(*q.Policy); err != nil {
			return content{}, err
		}
	}
	if err := p.Key.Fits(leaf.PublicKey); err != nil {
		return content{}, err
	}
	n := content{private: b.Key, leaf: leaf, certificates: b.Certificates, policy: p, preserveOrder: q.PreserveOrder}
	if !q.PreserveOrder {
		n.certificates = pfx.Chain(leaf, b.Certificates)
	}
	return n, nil
}

// bring takes the key into the keystore and stores the version.
func (s *Service) bring(ctx context.Context, n creation, q ImportRequest, with content) (cert Certificate, err error) {
	if with.key, err = s.keys.Bring(ctx, with.private, isHSM(with.policy), operations(with.policy)); err != nil {
		return Certificate{}, err
	}
	d, err := s.draft(ctx, newVersion(object.NewVersionID(), q.Attributes), with)
	if err != nil {
		return Certificate{}, err
	}
	err = s.shelf.Transact(ctx, func(ctx context.Context) error {
		e, err := s.store(ctx, n.v, n.ref.Name, d, func(st *state) error {
			if st.Pending.inProgress() {
				return errInProgress()
			}
			st.Policy = d.policy.Stamp(st.Policy, s.shelf.Now())
			st.Failures, st.Again = 0, time.Time{}
			return nil
		})
		if err != nil {
			return err
		}
		if cert, err = Of(e); err != nil {
			return err
		}
		return s.done(ctx, n.caller, importing, n.ref, d)
	})
	return cert, err
}
