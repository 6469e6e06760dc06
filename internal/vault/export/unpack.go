package export

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/export/archive"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// The bounds of what an import takes, whatever this installation's limits are: the widest
// that any can have.
const (
	maxValue = 1 << 20 // bytes of a secret
	maxTags  = 200
)

// unpacker turns the items of an archive, a file of unknown origin, into arrivals that the
// vault can take as they are.
type unpacker struct {
	keys   *keys.Service
	spool  *spool
	now    time.Time
	report Report

	unit *unit
	kept int    // versions of the object that is being read
	last string // the newest of them
	own  bool   // that object belongs to a certificate
}

// unit is a certificate whose key and secret have come already.
type unit struct {
	name    string
	next    object.Kind       // of the part that must come
	deleted bool              //
	publics map[string]string // version of the key to its public half
	secrets map[string]bool   // versions of the secret
}

func refuse(format string, args ...any) error {
	return fault.New(fault.Invalid, "NotAnExport", "The file is not a whole export of a vault: "+format, args...)
}

// read takes the whole archive into the spool.
func (u *unpacker) read(ctx context.Context, r *archive.Reader) error {
	v, err := r.Vault()
	if err != nil {
		return err
	}
	u.report.From = v.Name
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if u.unit != nil && (item.Name != u.unit.name || item.Kind != u.unit.next) {
			return refuse("%s/%s comes where the %s of the certificate %s must be.", item.Kind, item.Name, u.unit.next.Noun(), u.unit.name)
		}
		if item.Version != nil {
			err = u.version(ctx, item)
		} else {
			err = u.object(item)
		}
		if err != nil {
			return err
		}
	}
	if u.unit != nil {
		return refuse("the certificate %s is missing.", u.unit.name)
	}
	return nil
}

// version takes a version, if its private half is there.
func (u *unpacker) version(ctx context.Context, item archive.Item) error {
	in := item.Version
	x := object.Version{
		ID: in.ID, Created: in.Created.UTC(), Updated: in.Updated.UTC(), Enabled: in.Enabled, NotBefore: in.NotBefore, Expires: in.Expires, Tags: in.Tags, Managed: in.Managed,
	}
	at := object.Attributes{NotBefore: &x.NotBefore, Expires: &x.Expires, Tags: x.Tags}
	if err := at.Check(object.Limits{Tags: maxTags}); err != nil {
		return err
	}
	if x.Created.IsZero() || x.Updated.IsZero() || x.Managed && item.Kind == object.Certificates {
		return refuse("%s/%s/%s is not whole.", item.Kind, item.Name, x.ID)
	}
	if err := u.managed(item, x.Managed); err != nil {
		return err
	}
	reason, err := u.body(ctx, item, &x)
	if err != nil {
		return err
	}
	if reason != "" {
		u.report.leave(archive.LeftBehind{Kind: item.Kind, Name: item.Name, Version: x.ID, Reason: reason})
		return nil
	}
	u.kept, u.last = u.kept+1, x.ID
	u.report.Versions[item.Kind]++
	return u.spool.add(object.Arrival{Kind: item.Kind, Name: item.Name, Version: &x})
}

// managed begins a certificate with the first version of its key.
func (u *unpacker) managed(item archive.Item, is bool) error {
	if is && u.unit == nil && item.Kind == object.Keys {
		u.unit = &unit{name: item.Name, next: object.Keys, publics: map[string]string{}, secrets: map[string]bool{}}
	}
	if belongs := u.unit != nil; item.Kind != object.Certificates && belongs != is || item.Kind == object.Certificates && !belongs {
		return refuse("%s/%s does not come with its certificate, key and secret.", item.Kind, item.Name)
	}
	u.own = is
	return nil
}

// body makes what the vault keeps of a version, or tells why it stays behind.
func (u *unpacker) body(ctx context.Context, item archive.Item, x *object.Version) (leftBehind string, err error) {
	switch in := item.Version; {
	case in.LeftBehind != "":
		return in.LeftBehind, nil
	case item.Kind == object.Keys:
		return "", u.key(ctx, in, x)
	case item.Kind == object.Secrets:
		return u.secret(in, x)
	default:
		return u.certificate(in, x)
	}
}

func (u *unpacker) key(ctx context.Context, in *archive.Version, x *object.Version) error {
	private, err := parsePrivate(in.Files)
	if err != nil {
		return err
	}
	body, public, err := u.keys.Arrive(ctx, keys.Portable{Properties: in.Key.Properties, Private: private})
	if err != nil {
		return err
	}
	x.Body = body
	if u.unit == nil {
		return nil
	}
	pub, err := public.Public()
	if err != nil {
		return err
	}
	u.unit.publics[x.ID], err = spki(pub)
	return err
}

// spki is a public key in a form that can be compared.
func spki(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", refuse("a certificate has a key of a type that none has here.")
	}
	return string(der), nil
}

// parsePrivate reads the file of a key; a key without one has its public half only.
func parsePrivate(files []archive.File) (crypto.PrivateKey, error) {
	if len(files) == 0 {
		return nil, nil
	}
	f := files[0]
	switch f.Suffix {
	case "pem":
		block, rest := pem.Decode(f.Content)
		if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, refuse("a private key is not one PEM block of PKCS #8.")
		}
		key, err := keystore.ParsePKCS8(block.Bytes)
		if err != nil {
			return nil, refuse("a private key cannot be read.") // the error may quote it
		}
		return key, nil
	case "jwk":
		var k symmetric
		if err := json.Unmarshal(f.Content, &k); err != nil || k.Type != string(keystore.Oct) {
			return nil, refuse("a symmetric key cannot be read.")
		}
		return keystore.Secret(k.K), nil
	}
	return nil, refuse("a private key stands in a file .%s.", f.Suffix)
}

func (u *unpacker) secret(in *archive.Version, x *object.Version) (leftBehind string, err error) {
	if u.unit != nil {
		if _, ok := u.unit.publics[x.ID]; !ok {
			return "the private key of the version is not here", nil
		}
	}
	b := secrets.Body{ContentType: in.Secret.ContentType, Previous: in.Secret.Previous}
	switch {
	case in.Secret.Value != nil && len(in.Files) == 0:
		b.Value = secrets.Value(*in.Secret.Value)
	case in.Secret.Value == nil && len(in.Files) == 1 && in.Files[0].Suffix == "pfx" && x.Managed:
		b.Value = secrets.Value(base64.StdEncoding.EncodeToString(in.Files[0].Content))
	default:
		return "", refuse("the secret version %s has no value, or two.", x.ID)
	}
	if len(b.Value) > maxValue || len(b.ContentType) > secrets.MaxContentType || len(b.Previous) > len(x.ID) {
		return "", refuse("the secret version %s is larger than any can be.", x.ID)
	}
	if u.unit != nil {
		u.unit.secrets[x.ID] = true
	}
	x.Body, err = json.Marshal(b)
	return "", err
}

func (u *unpacker) certificate(in *archive.Version, x *object.Version) (leftBehind string, err error) {
	public, ok := u.unit.publics[x.ID]
	if !ok || !u.unit.secrets[x.ID] {
		return "the private key of the version is not here", nil
	}
	if len(in.Files) != 1 || in.Files[0].Suffix != "pem" {
		return "", refuse("the certificate version %s has no certificate.", x.ID)
	}
	leaf, ders, err := parseChain(in.Files[0].Content)
	if err != nil {
		return "", err
	}
	if is, err := spki(leaf.PublicKey); err != nil || is != public {
		return "", refuse("the certificate version %s and its key do not belong together.", x.ID)
	}
	x.Body, err = certificates.Unpack(ders, in.Certificate.PreserveOrder, in.Certificate.Exportable)
	return "", err
}

// object takes an object, whose versions have been taken.
func (u *unpacker) object(item archive.Item) error {
	in, kept, last := item.Object, u.kept, u.last
	own := u.own
	u.kept, u.last, u.own = 0, "", false
	h := object.Head{
		Name: in.Name, Latest: last, Created: in.Created.UTC(), Updated: in.Updated.UTC(), Managed: in.Managed,
		Deleted: in.Deleted.UTC(), Purge: in.Purge.UTC(),
	}
	if in.Deleted.IsZero() {
		h.Deleted, h.Purge = time.Time{}, time.Time{}
	}
	if err := u.checkHead(in, h, own); err != nil {
		return err
	}
	if err := u.extra(in, &h); err != nil {
		return err
	}
	if err := u.advance(in, kept); err != nil {
		return err
	}
	if kept == 0 && len(in.Versions) > 0 {
		u.report.leave(archive.LeftBehind{Kind: in.Kind, Name: in.Name, Reason: "none of its versions is here"})
		return nil
	}
	u.report.Objects[in.Kind]++
	return u.spool.add(object.Arrival{Kind: in.Kind, Name: item.Name, Head: &h})
}

// longest is the longest time that a deleted object is kept.
const longest = 90 * 24 * time.Hour

func (u *unpacker) checkHead(in *archive.Object, h object.Head, own bool) error {
	hasVersions := in.Kind == object.Keys || in.Kind == object.Secrets || in.Kind == object.Certificates
	switch {
	case hasVersions != (len(in.Versions) > 0), h.Created.IsZero(), h.Updated.IsZero(), in.Managed != own:
		return refuse("%s/%s is not whole.", in.Kind, in.Name)
	case !h.Deleted.IsZero() && (!hasVersions || h.Purge.Before(h.Deleted) || h.Purge.Sub(h.Deleted) > longest || h.Deleted.After(u.now.Add(24*time.Hour))):
		return refuse("%s/%s was deleted at a time that cannot be.", in.Kind, in.Name)
	}
	return nil
}

// extra takes what is the kind's own.
func (u *unpacker) extra(in *archive.Object, h *object.Head) error {
	if (in.Content != nil) != (in.Kind == object.Issuers || in.Kind == object.Contacts) || in.Policy != nil && in.Kind == object.Secrets {
		return refuse("%s/%s holds what its kind does not.", in.Kind, in.Name)
	}
	switch in.Kind {
	case object.Keys:
		return keys.AdoptExtra(h, in.Policy, rotation.Adopt)
	case object.Certificates:
		return certificates.AdoptPolicy(h, in.Policy)
	case object.Contacts:
		return contact.Adopt(h, in.Content)
	case object.Issuers:
		disabled, err := issuer.Adopt(h, in.Content)
		if disabled {
			u.report.leave(archive.LeftBehind{Kind: in.Kind, Name: in.Name,
				Reason: "it stands for a profile of the installation that the file comes from, and is disabled here; enable it if the profile of that name is meant"})
		}
		return err
	}
	return nil
}

// advance goes on to the next part of a certificate.
func (u *unpacker) advance(in *archive.Object, kept int) error {
	if u.unit == nil {
		return nil
	}
	deleted := !in.Deleted.IsZero()
	switch in.Kind {
	case object.Keys:
		u.unit.next, u.unit.deleted = object.Secrets, deleted
	case object.Secrets:
		u.unit.next = object.Certificates
	default:
		if kept != len(u.unit.publics) || len(u.unit.secrets) != kept {
			return refuse("the certificate %s has other versions than its key and secret.", in.Name)
		}
		defer func() { u.unit = nil }()
	}
	if deleted != u.unit.deleted || !strings.EqualFold(in.Name, u.unit.name) {
		return refuse("the certificate %s is not deleted together with its key and secret.", in.Name)
	}
	return nil
}
