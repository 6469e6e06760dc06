package keys

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys/transfer"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// transferBytes is a .byok file in base64. Clients write either alphabet, with padding or
// without.
type transferBytes []byte

// UnmarshalText decodes.
func (b *transferBytes) UnmarshalText(text []byte) (err error) {
	text = bytes.TrimRight(text, "=")
	if len(text) > base64.RawURLEncoding.EncodedLen(transfer.MaxSize) {
		return errors.New("the key transfer blob is too large")
	}
	safe := bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("+"), []byte("-")), []byte("/"), []byte("_"))
	*b, err = base64.RawURLEncoding.AppendDecode(nil, safe)
	return err
}

// receive takes the key out of a transfer blob (contract §2.5, bring your own key). The
// key exchange key is one of the same vault, made for this and for nothing else.
func (s *Service) receive(ctx context.Context, v *object.Vault, k PrivateJWK, exportable bool) (Made, error) {
	if k.D != nil || k.P != nil || k.Q != nil || k.DP != nil || k.DQ != nil || k.QI != nil || k.K != nil || k.Priv != nil {
		return Made{}, fault.New(fault.Invalid, "BadParameter", "A key with key_hsm has no other private parts; send one or the other.")
	}
	if string(keyType(k.Type)) == k.Type {
		return Made{}, fault.New(fault.Invalid, "BadParameter", "A key in a transfer blob is of type RSA-HSM, EC-HSM or oct-HSM, not %.20q.", k.Type)
	}
	blob, err := transfer.Parse(k.Transfer)
	if err != nil {
		return Made{}, err
	}
	if blob.Header.Scheme != transfer.SHA1 {
		return Made{}, fault.New(fault.Invalid, "BadParameter", "The key transfer blob (key_hsm) must be made with %s, not %s.", transfer.SHA1, blob.Header.Scheme)
	}
	receiver, name, err := s.receiver(ctx, v, blob.Header.KeyID)
	if err != nil {
		return Made{}, err
	}
	plain, err := blob.Open(receiver)
	if err != nil {
		return Made{}, fault.Wrap(err, fault.Invalid, "BadParameter", "The key transfer blob (key_hsm) cannot be unwrapped with the key exchange key that it names; make it again with that key's public half.")
	}
	defer clear(plain)
	key, err := k.unwrapped(plain)
	if err != nil {
		return Made{}, err
	}
	m, err := s.bring(ctx, key, true, exportable, k.Ops)
	m.exchange = name
	return m, err
}

// receiver finds the key exchange key of an id, https://{vault}/keys/{name}/{version}.
func (s *Service) receiver(ctx context.Context, v *object.Vault, id string) (d crypto.Decrypter, name string, err error) {
	u, err := url.Parse(id)
	if err != nil {
		return nil, "", fault.New(fault.Invalid, "BadParameter", "The kid %.200q of the key transfer blob is not the id of a key.", id)
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	vault, _, _ := strings.Cut(u.Hostname(), ".")
	if !strings.EqualFold(vault, v.Name) || len(parts) != 3 || !strings.EqualFold(parts[0], string(object.Keys)) {
		return nil, "", fault.New(fault.Invalid, "BadParameter", "The key exchange key %.200q is not one of this vault; want https://%s…/keys/{name}/{version}.", id, v.Name)
	}
	e, err := v.Read(ctx, object.Keys, parts[1], parts[2])
	if err != nil {
		return nil, "", err
	}
	b, err := bodyOf(e.Version)
	if err != nil {
		return nil, "", err
	}
	if err := usable(e.Version, b.Ops, Import, s.Now()); err != nil {
		return nil, "", err
	}
	private, err := s.open(ctx, b)
	if err != nil {
		return nil, "", err
	}
	d, ok := private.(crypto.Decrypter)
	if !ok {
		return nil, "", fault.New(fault.Denied, "KeyOperationForbidden", "Operation import is not permitted on this key.")
	}
	return d, e.Head.Name + "/" + e.Version.ID, nil
}

// unwrapped reads what was in a blob: the bytes of a symmetric key, else PKCS #8. It must
// be what the request says it is.
func (k PrivateJWK) unwrapped(plain []byte) (crypto.PrivateKey, error) {
	want := keyType(k.Type)
	if want == keystore.Oct {
		return keystore.Secret(bytes.Clone(plain)), nil
	}
	key, err := keystore.ParsePKCS8(plain)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadParameter", "The key in the transfer blob is not in PKCS #8; make the blob again of such a key.")
	}
	spec, err := keystore.SpecOfKey(key)
	if err != nil {
		return nil, err
	}
	if spec.Type != want || (k.Curve != "" && k.Curve != spec.Curve) {
		return nil, fault.New(fault.Invalid, "BadParameter", "The key in the transfer blob is %s, and the request says kty %.20q, crv %.20q.", spec, k.Type, k.Curve)
	}
	return key, nil
}
