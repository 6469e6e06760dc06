package domain

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec G505 -- x5t is SHA-1 by RFC 7517 §4.8; nothing relies on it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm/quorum"
	"chatelaine.dev/internal/vault/object"
)

// transfer is the row of the transfer key, to which a security domain is encrypted on its
// way in. It is kept in the database, for another node may get the upload.
type transfer struct {
	Key         []byte    `json:"key"` // PKCS #8
	Certificate []byte    `json:"certificate"`
	Until       time.Time `json:"until"`
}

// transferLife is how long a transfer key can be used.
const transferLife = 7 * 24 * time.Hour

// TransferKey returns the public transfer key of the HSM, made on first use and when the
// one before has ended.
func (s *Service) TransferKey(ctx context.Context, c access.Caller, vault string) (j JWK, err error) {
	err = s.Call(ctx, c, vault, transferring, func(v *object.Vault) error {
		t, err := read[transfer](ctx, v, transferRow)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		var fresh *transfer
		if s.Now().After(t.Until) {
			if fresh, err = s.newTransfer(v.Name); err != nil {
				return err
			}
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			if fresh != nil {
				if t, err = s.keep(ctx, v, *fresh); err != nil {
					return err
				}
			}
			if j, err = t.public(); err != nil {
				return err
			}
			return s.Done(ctx, c, vault, transferring, map[audit.Field]string{audit.Fingerprint: j.Thumbprint})
		})
	})
	return j, err
}

// keep stores a transfer key, unless another node was faster, and returns the one that is.
func (s *Service) keep(ctx context.Context, v *object.Vault, fresh transfer) (t transfer, err error) {
	_, err = v.SetHead(ctx, object.Administration, transferRow, func(h *object.Head) error {
		t = transfer{}
		if len(h.Extra) > 0 {
			if err := json.Unmarshal(h.Extra, &t); err != nil {
				return err
			}
		}
		if s.Now().After(t.Until) {
			t = fresh
		}
		h.Extra, err = json.Marshal(t)
		return err
	})
	return t, err
}

func (s *Service) newTransfer(vault string) (*transfer, error) {
	key, err := rsa.GenerateKey(rand.Reader, minBits)
	if err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "transfer key of the managed HSM " + vault},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(transferLife), KeyUsage: x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &transfer{Key: private, Certificate: der, Until: now.Add(transferLife)}, nil
}

func (t transfer) holder() (quorum.Holder, error) {
	c, err := x509.ParseCertificate(t.Certificate)
	if err != nil {
		return quorum.Holder{}, err
	}
	k, err := x509.ParsePKCS8PrivateKey(t.Key)
	if err != nil {
		return quorum.Holder{}, err
	}
	key, ok := k.(*rsa.PrivateKey)
	if !ok {
		return quorum.Holder{}, fmt.Errorf("the transfer key is a %T", k)
	}
	return quorum.Holder{Certificate: c, Key: key}, nil
}

func (t transfer) public() (JWK, error) {
	h, err := t.holder()
	if err != nil {
		return JWK{}, err
	}
	sum := sha1.Sum(t.Certificate) // #nosec G401 -- see above
	return JWK{
		KeyID: "transfer_key", Type: "RSA", Ops: []string{"encrypt", "wrapKey"}, Algorithm: "RSA-OAEP-256",
		N:     base64.RawURLEncoding.EncodeToString(h.Key.N.Bytes()),
		E:     base64.RawURLEncoding.EncodeToString(big.NewInt(int64(h.Key.E)).Bytes()),
		Chain: []string{base64.StdEncoding.EncodeToString(t.Certificate)},
		SHA1:  base64.RawURLEncoding.EncodeToString(sum[:]), Thumbprint: quorum.Thumbprint(t.Certificate),
	}, nil
}

// Upload gives an HSM the security domain of another, resealed to its transfer key. The
// HSM must be without keys: their backups would no longer open.
func (s *Service) Upload(ctx context.Context, c access.Caller, vault string, text []byte) error {
	return s.Call(ctx, c, vault, uploading, func(v *object.Vault) error {
		t, err := read[transfer](ctx, v, transferRow)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if s.Now().After(t.Until) {
			return fault.New(fault.Conflict, "TransferKeyExpired", "The HSM has no transfer key that is still good. Get one with GET /securitydomain/upload, and make the value for it.")
		}
		in, err := t.open(text)
		if err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			_, err := s.edit(ctx, v, func(st *state) error {
				if err := empty(ctx, v); err != nil {
					return err
				}
				st.Key, st.Uploaded, st.Downloaded = in.Key, s.Now().UTC(), time.Time{}
				return nil
			})
			if err != nil {
				return err
			}
			if err := forget(ctx, v); err != nil {
				return err
			}
			return s.Done(ctx, c, vault, uploading, map[audit.Field]string{audit.Fingerprint: Key{in.Key}.ID()})
		})
	})
}

// open takes our key out of an uploaded security domain.
func (t transfer) open(text []byte) (content, error) {
	h, err := t.holder()
	if err != nil {
		return content{}, err
	}
	secrets, err := quorum.OpenBlob(text, h)
	if err != nil {
		return content{}, bad("The security domain cannot be used: %s.", err)
	}
	for _, x := range secrets {
		var in content
		if x.Tag != tag {
			continue
		}
		if json.Unmarshal(x.Plain, &in) != nil || len(in.Key) != keySize {
			return in, bad("The security domain cannot be used: its key is not of the right form.")
		}
		return in, nil
	}
	return content{}, bad("The security domain is of another product; only those of Chatelaine open its backups.")
}

// empty refuses an HSM that has keys, deleted ones too.
func empty(ctx context.Context, v *object.Vault) error {
	for _, deleted := range []bool{false, true} {
		list, err := v.List(ctx, object.Keys, deleted, "", 1)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			return fault.New(fault.Conflict, "HSMNotEmpty", "The HSM has keys, and keeps its own security domain. Create a new HSM and upload there.")
		}
	}
	return nil
}

// forget removes the transfer key, which is good for one upload.
func forget(ctx context.Context, v *object.Vault) error {
	if _, err := v.Delete(ctx, object.Administration, transferRow); err != nil {
		return err
	}
	return v.Purge(ctx, object.Administration, transferRow, true)
}
