package export

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"slices"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/export/archive"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// The sizes of pages: heads are small, versions may have a MiB each.
const (
	headPage    = 100
	versionPage = 16
)

// packer writes a vault into an archive. It reads beside the work that goes on, without
// holding it up: each object is as it was at one moment, the vault as a whole need not be.
type packer struct {
	keys    *keys.Service
	v       *object.Vault
	w       *archive.Writer
	private bool
}

func (s *Service) pack(ctx context.Context, v *object.Vault, r Request, out io.Writer) (archive.Manifest, error) {
	plain, err := json.Marshal(v.Settings())
	if err != nil {
		return archive.Manifest{}, err
	}
	w, err := archive.NewWriter(out, archive.Vault{
		Name: v.Name, Kind: "vault", Exported: s.Now().UTC(), Request: r.ID, Keys: r.Keys, Settings: plain,
	})
	if err != nil {
		return archive.Manifest{}, err
	}
	p := packer{keys: s.Keys, v: v, w: w, private: r.Keys}
	for _, part := range []struct {
		kind object.Kind
		pack func(ctx context.Context, h object.Head) error
	}{
		{object.Issuers, p.plain(object.Issuers)},
		{object.Contacts, p.plain(object.Contacts)},
		{object.Certificates, p.certificate},
		{object.Keys, p.alone(object.Keys)},
		{object.Secrets, p.alone(object.Secrets)},
	} {
		for _, deleted := range []bool{false, true} {
			if err := p.each(ctx, part.kind, deleted, part.pack); err != nil {
				return archive.Manifest{}, fmt.Errorf("%s: %w", part.kind, err)
			}
		}
	}
	return w.Close()
}

// each calls fn for the heads of a kind.
func (p packer) each(ctx context.Context, k object.Kind, deleted bool, fn func(ctx context.Context, h object.Head) error) error {
	for after := ""; ; {
		list, err := p.v.List(ctx, k, deleted, after, headPage)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			if err := fn(ctx, e.Head); err != nil {
				return fmt.Errorf("%s: %w", e.Head.Name, err)
			}
		}
		after = list[len(list)-1].Head.Name
	}
}

func describe(k object.Kind, h object.Head) archive.Object {
	return archive.Object{Kind: k, Name: h.Name, Created: h.Created, Updated: h.Updated, Managed: h.Managed, Deleted: h.Deleted, Purge: h.Purge}
}

// plain packs what has no versions.
func (p packer) plain(k object.Kind) func(context.Context, object.Head) error {
	return func(_ context.Context, h object.Head) error {
		o := describe(k, h)
		o.Content = h.Extra
		return p.w.Object(o)
	}
}

// alone packs a key or a secret that belongs to no certificate.
func (p packer) alone(k object.Kind) func(context.Context, object.Head) error {
	return func(ctx context.Context, h object.Head) error {
		if h.Managed {
			return nil // it went with its certificate
		}
		return p.object(ctx, k, h, nil)
	}
}

// certificate packs a certificate with its key and its secret: those versions that all
// three have.
func (p packer) certificate(ctx context.Context, h object.Head) error {
	if h.Latest == "" {
		p.w.Left(archive.LeftBehind{Kind: object.Certificates, Name: h.Name, Reason: "its first version is pending; what its CA answers comes to this installation"})
		return nil
	}
	parts := []object.Kind{object.Keys, object.Secrets, object.Certificates}
	var common []string
	for i, k := range parts {
		ids, err := p.ids(ctx, k, h.Name)
		if err != nil {
			return err
		}
		if i == 0 {
			common = ids
			continue
		}
		common = slices.DeleteFunc(common, func(id string) bool { return !slices.Contains(ids, id) })
	}
	if len(common) == 0 {
		p.w.Left(archive.LeftBehind{Kind: object.Certificates, Name: h.Name, Reason: "no version of it has a key and a secret"})
		return nil
	}
	for _, k := range parts {
		head := h
		if k != object.Certificates {
			e, err := p.read(ctx, k, h)
			if err != nil {
				return err
			}
			head = e.Head
		}
		if err := p.object(ctx, k, head, common); err != nil {
			return err
		}
	}
	return nil
}

// read reads a part of a certificate, which is deleted when the certificate is.
func (p packer) read(ctx context.Context, k object.Kind, h object.Head) (object.Entry, error) {
	if h.Deleted.IsZero() {
		return p.v.Read(ctx, k, h.Name, "")
	}
	return p.v.ReadDeleted(ctx, k, h.Name)
}

func (p packer) ids(ctx context.Context, k object.Kind, name string) (ids []string, err error) {
	err = p.versions(ctx, k, name, func(x object.Version) error {
		ids = append(ids, x.ID)
		return nil
	})
	return ids, err
}

func (p packer) versions(ctx context.Context, k object.Kind, name string, fn func(x object.Version) error) error {
	for after := int64(0); ; {
		list, next, err := p.v.Versions(ctx, k, name, after, versionPage)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, x := range list {
			if err := fn(x); err != nil {
				return err
			}
		}
		after = next
	}
}

// object packs an object with all its versions, or with those that only names.
func (p packer) object(ctx context.Context, k object.Kind, h object.Head, only []string) error {
	written := 0
	err := p.versions(ctx, k, h.Name, func(x object.Version) error {
		if only != nil && !slices.Contains(only, x.ID) {
			return nil
		}
		packed, err := p.version(ctx, k, x)
		if err != nil {
			return err
		}
		written++
		return p.w.Version(k, h.Name, packed)
	})
	if err != nil {
		return err
	}
	if written == 0 || only != nil && written != len(only) {
		return fault.New(fault.Conflict, "Changed", "the %s lost versions while it was read; fetch the export again", k.Noun())
	}
	o := describe(k, h)
	switch k {
	case object.Keys:
		o.Policy = h.Extra
	case object.Certificates:
		if o.Policy, err = certificates.PortablePolicy(h); err != nil {
			return err
		}
	}
	return p.w.Object(o)
}

func (p packer) version(ctx context.Context, k object.Kind, x object.Version) (archive.Version, error) {
	out := archive.Version{
		ID: x.ID, Created: x.Created, Updated: x.Updated, Enabled: x.Enabled, NotBefore: x.NotBefore, Expires: x.Expires, Tags: x.Tags, Managed: x.Managed,
	}
	var err error
	switch k {
	case object.Keys:
		err = p.key(ctx, x, &out)
	case object.Secrets:
		err = p.secret(x, &out)
	default:
		err = p.chain(x, &out)
	}
	return out, err
}

// file gives a version a file and returns its name.
func file(out *archive.Version, suffix string, content []byte) string {
	out.Files = append(out.Files, archive.File{Suffix: suffix, Content: content})
	return out.ID + "." + suffix
}

func (p packer) secret(x object.Version, out *archive.Version) error {
	b, err := secrets.BodyOf(x)
	if err != nil {
		return err
	}
	out.Secret = &archive.Secret{ContentType: b.ContentType, Previous: b.Previous}
	if x.Managed && !p.private {
		out.LeftBehind = "it holds the private key of a certificate, and private keys were not asked for"
		return nil
	}
	if x.Managed && b.ContentType == policy.PKCS12 {
		der, err := base64.StdEncoding.DecodeString(string(b.Value))
		if err == nil && base64.StdEncoding.EncodeToString(der) == string(b.Value) {
			out.Secret.File = file(out, "pfx", der)
			return nil
		}
	}
	value := archive.Hidden(b.Value)
	out.Secret.Value = &value
	return nil
}

// symmetric is a symmetric key as a JSON Web Key (RFC 7518 section 6.4).
type symmetric struct {
	Type string     `json:"kty"`
	K    keys.Bytes `json:"k"`
}

func (p packer) key(ctx context.Context, x object.Version, out *archive.Version) error {
	k, err := p.keys.Leave(ctx, x, p.private)
	if err != nil {
		return err
	}
	out.Key, out.LeftBehind = &archive.Key{Properties: k.Properties}, k.LeftBehind
	switch private := k.Private.(type) {
	case nil:
	case keystore.Secret:
		text, err := json.Marshal(symmetric{string(keystore.Oct), keys.Bytes(private)})
		if err != nil {
			return err
		}
		out.Key.File = file(out, "jwk", text)
	default:
		der, err := keystore.MarshalPKCS8(private)
		if err != nil {
			return fmt.Errorf("private key of version %s: %w", x.ID, err)
		}
		out.Key.File = file(out, "pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	return nil
}

func (p packer) chain(x object.Version, out *archive.Version) error {
	b, err := certificates.BodyOf(x)
	if err != nil {
		return err
	}
	var text []byte
	for _, der := range b.Packed() {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	out.Certificate = &archive.Certificate{File: file(out, "pem", text), PreserveOrder: b.PreserveOrder, Exportable: b.Exportable}
	return nil
}

// parseChain reads what chain has written.
func parseChain(text []byte) (leaf *x509.Certificate, ders [][]byte, err error) {
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil || block.Type != "CERTIFICATE" || len(ders) == maxChain {
			return nil, nil, fault.New(fault.Invalid, "NotAnExport", "The file has a certificate that cannot be read.")
		}
		ders = append(ders, block.Bytes)
	}
	if len(ders) == 0 {
		return nil, nil, fault.New(fault.Invalid, "NotAnExport", "The file has a certificate that is empty.")
	}
	if leaf, err = certificate.Parse(ders[0]); err != nil {
		return nil, nil, fault.New(fault.Invalid, "NotAnExport", "The file has a certificate that cannot be read: %.100s.", err.Error())
	}
	return leaf, ders, nil
}

// maxChain bounds the certificates of a version.
const maxChain = 100
