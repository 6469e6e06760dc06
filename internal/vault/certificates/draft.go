package certificates

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
	"chatelaine.dev/internal/vault/secrets"
)

// draft is a version of a certificate with its key and secret, complete but not stored.
// Making it is slow, so it is made before the transaction.
type draft struct {
	version object.Version // id, attributes and tags, shared by all three
	leaf    *x509.Certificate
	body    Body
	key     keys.Made
	secret  secrets.Body
	policy  policy.Policy
}

// content is what a draft is made of.
type content struct {
	private       crypto.PrivateKey // nil when the keystore made the key
	key           keys.Made
	leaf          *x509.Certificate
	certificates  []*x509.Certificate // with the leaf, in the order that the secret gets
	policy        policy.Policy
	preserveOrder bool
}

// draft makes a version. x bears its id and attributes; the dates are the certificate's.
func (s *Service) draft(ctx context.Context, x object.Version, c content) (draft, error) {
	x.NotBefore, x.Expires = c.leaf.NotBefore.UTC(), c.leaf.NotAfter.UTC()
	d := draft{version: x, leaf: c.leaf, key: c.key, policy: c.policy, body: Body{Certificate: c.leaf.Raw, PreserveOrder: c.preserveOrder, Exportable: c.policy.CanExport()}}
	for _, other := range c.certificates {
		if !other.Equal(c.leaf) {
			d.body.Chain = append(d.body.Chain, other.Raw)
		}
	}
	bundle := pfx.Bundle{Certificates: c.certificates}
	if c.policy.CanExport() {
		key, err := s.exportMade(ctx, c.key)
		if err != nil {
			return draft{}, err
		}
		bundle.Key = key
	}
	value, err := encode(bundle, c.policy)
	d.secret = secrets.Body{Value: value, ContentType: c.policy.Secret.ContentType}
	return d, err
}

// encode is the secret's value: base64 of PKCS#12 with the empty password, or PEM.
func encode(b pfx.Bundle, p policy.Policy) (secrets.Value, error) {
	if p.WantsPEM() {
		text, err := pfx.EncodePEM(b)
		return secrets.Value(text), err
	}
	der, err := pfx.Encode(b)
	return secrets.Value(base64.StdEncoding.EncodeToString(der)), err
}

// exportMade takes a key out of its keystore.
func (s *Service) exportMade(ctx context.Context, m keys.Made) (crypto.PrivateKey, error) {
	k, err := s.keys.OpenMade(ctx, m)
	if err != nil {
		return nil, err
	}
	return exportKey(k)
}

func exportKey(k keystore.Private) (crypto.PrivateKey, error) {
	e, ok := k.(keystore.Exporter)
	if !ok {
		return nil, fault.New(fault.Invalid, "BadParameter", "The key cannot leave the HSM that holds it. Set exportable and reuse_key to false in key_props, and use issuer Self.")
	}
	return e.Export()
}

// store writes a draft: certificate, key and secret in the transaction of ctx. edit
// changes the state as it is then, or refuses.
func (s *Service) store(ctx context.Context, v *object.Vault, name string, d draft, edit func(st *state) error) (object.Entry, error) {
	e, err := v.Append(ctx, object.Certificates, name, d.version, func(h *object.Head, x *object.Version) (err error) {
		if err := change(h, edit); err != nil {
			return err
		}
		x.Body, err = json.Marshal(d.body)
		return err
	})
	if err != nil {
		return e, err
	}
	if err := free(ctx, v, name); err != nil {
		return e, err
	}
	if _, err := s.keys.PutManaged(ctx, v, e.Head.Name, d.version, d.key); err != nil {
		return e, err
	}
	if _, err := s.secrets.PutManaged(ctx, v, e.Head.Name, d.version, d.secret); err != nil {
		return e, err
	}
	return e, s.shelf.Announce(ctx, "NewVersionCreated", e)
}

// free refuses a name under which somebody keeps a key or secret of its own.
func free(ctx context.Context, v *object.Vault, name string) error {
	for _, k := range []object.Kind{object.Keys, object.Secrets} {
		e, err := v.Read(ctx, k, name, "")
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return err
		case !e.Head.Managed:
			return fault.New(fault.Conflict, "Conflict", "There is a %s %s that belongs to no certificate; use another name, or delete and purge the %s.", k.Noun(), name, k.Noun())
		}
	}
	return nil
}

// newVersion is the version that a certificate, its key and its secret will share.
func newVersion(id string, a object.Attributes) object.Version {
	x := object.Version{ID: id, Enabled: true}
	object.Attributes{Enabled: a.Enabled, Tags: a.Tags}.Apply(&x) // dates are the certificate's own
	return x
}

// operations are the key_ops that a policy allows.
func operations(p policy.Policy) []keys.Operation {
	var ops []keys.Operation
	for _, op := range p.Operations() {
		ops = append(ops, keys.Operation(op))
	}
	return ops
}

// isHSM reports whether the policy's key type asks for an HSM.
func isHSM(p policy.Policy) bool { return strings.HasSuffix(p.Key.Type, "-HSM") }
