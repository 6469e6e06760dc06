package quorum

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// MaxFile bounds a file and a blob, in bytes.
const MaxFile = 256 << 10

// Secret is one thing that a security domain holds, under its tag.
type Secret struct {
	Tag   string
	Plain []byte
}

// datum is a secret encrypted under the master key.
type datum struct {
	CompactJWE string `json:"compact_jwe"`
	Tag        string `json:"tag"`
}

type encData struct {
	Data []datum `json:"data"`
	KDF  string  `json:"kdf"`
}

// wrappedKey is the master key, or a share of it, encrypted to a certificate.
type wrappedKey struct {
	EncKey     string `json:"enc_key"`
	Thumbprint string `json:"x5t_256"`
}

// file is a downloaded security domain.
type file struct {
	EncData    encData `json:"EncData"`
	SharedKeys struct {
		EncShares    []wrappedKey `json:"enc_shares"`
		KeyAlgorithm string       `json:"key_algorithm"`
		Required     int          `json:"required"`
	} `json:"SharedKeys"`
	Version int `json:"version"`
}

// blob is a security domain on its way into another HSM: under a new master key, which is
// encrypted to the transfer key of that HSM.
type blob struct {
	EncData    encData    `json:"EncData"`
	WrappedKey wrappedKey `json:"WrappedKey"`
}

const (
	kdf          = "sp108_kdf"
	keyAlgorithm = "shamir_share"
	masterKey    = 32 // bytes
)

// Thumbprint is how a file names a certificate.
func Thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// New makes the file of secrets that any required of the holders open together.
func New(secrets []Secret, holders []*x509.Certificate, required int) ([]byte, error) {
	if len(holders) < MinHolders || len(holders) > MaxHolders || required < MinRequired || required > len(holders) {
		return nil, fmt.Errorf("%d of %d holders: want %d to %d holders, and %d or more of them to open", required, len(holders), MinHolders, MaxHolders, MinRequired)
	}
	master, data, err := encrypt(secrets)
	if err != nil {
		return nil, err
	}
	f := file{EncData: data, Version: 2}
	f.SharedKeys.KeyAlgorithm, f.SharedKeys.Required = keyAlgorithm, required
	shares, err := split(master, required, len(holders))
	if err != nil {
		return nil, err
	}
	for i, h := range holders {
		public, ok := h.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("a holder's certificate has no RSA key")
		}
		sealed, err := sealTo(public, shares[i])
		if err != nil {
			return nil, err
		}
		f.SharedKeys.EncShares = append(f.SharedKeys.EncShares, wrappedKey{sealed, Thumbprint(h.Raw)})
	}
	return json.Marshal(f)
}

func encrypt(secrets []Secret) (master []byte, data encData, err error) {
	master = make([]byte, masterKey)
	if _, err := rand.Read(master); err != nil {
		return nil, data, err
	}
	data.KDF = kdf
	for _, s := range secrets {
		sealed, err := sealDirect(derive(master, s.Tag, "", contentKey), s.Plain, s.Tag)
		if err != nil {
			return nil, data, err
		}
		data.Data = append(data.Data, datum{sealed, s.Tag})
	}
	return master, data, nil
}

func decrypt(master []byte, data encData) ([]Secret, error) {
	if data.KDF != kdf || len(data.Data) == 0 || len(data.Data) > 16 {
		return nil, errJWE
	}
	var secrets []Secret
	for _, d := range data.Data {
		plain, err := openDirect(compact(d.CompactJWE), derive(master, d.Tag, "", contentKey))
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, Secret{d.Tag, plain})
	}
	return secrets, nil
}

// compact undoes the second base64 that some releases of the Azure CLI put around a JWE.
func compact(s string) string {
	if strings.Contains(s, ".") {
		return s
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return s
	}
	return string(b)
}

// Holder has the private key of one share.
type Holder struct {
	Certificate *x509.Certificate
	Key         *rsa.PrivateKey
}

// Open opens a file with the keys of enough of its holders. What they opened is in memory
// in the clear afterwards: this belongs on a machine apart.
func Open(text []byte, holders []Holder) ([]Secret, error) {
	var f file
	if len(text) > MaxFile || json.Unmarshal(text, &f) != nil || f.SharedKeys.KeyAlgorithm != keyAlgorithm {
		return nil, errors.New("the file is not a security domain")
	}
	need := f.SharedKeys.Required
	if need < MinRequired || need > MaxHolders {
		return nil, errors.New("the file is not a security domain")
	}
	var shares [][]byte
	used := map[string]bool{}
	for _, h := range holders {
		name := Thumbprint(h.Certificate.Raw)
		if used[name] {
			continue
		}
		used[name] = true
		for _, w := range f.SharedKeys.EncShares {
			if w.Thumbprint != name || len(shares) == need {
				continue
			}
			share, err := openWith(compact(w.EncKey), h.Key)
			if err != nil {
				return nil, fmt.Errorf("the share of %q: %w", h.Certificate.Subject, err)
			}
			shares = append(shares, share)
		}
	}
	if len(shares) < need {
		return nil, fmt.Errorf("%d of the %d keys that open this security domain were given", len(shares), need)
	}
	master, err := combine(shares)
	if err != nil {
		return nil, err
	}
	return decrypt(master, f.EncData)
}

// Reseal makes a blob of secrets, for the HSM whose transfer certificate to is.
func Reseal(secrets []Secret, to *x509.Certificate) ([]byte, error) {
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the transfer certificate has no RSA key")
	}
	master, data, err := encrypt(secrets)
	if err != nil {
		return nil, err
	}
	sealed, err := sealTo(public, master)
	if err != nil {
		return nil, err
	}
	return json.Marshal(blob{data, wrappedKey{sealed, Thumbprint(to.Raw)}})
}

// OpenBlob opens a blob with the transfer key. The text may be JSON, or base64url of it.
func OpenBlob(text []byte, transfer Holder) ([]Secret, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("the value is longer than %d bytes", MaxFile)
	}
	if b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(text), "=")); err == nil {
		text = b
	}
	var in blob
	if json.Unmarshal(text, &in) != nil || in.WrappedKey.EncKey == "" {
		return nil, errors.New("the value is no security domain for this HSM; make it of the downloaded file with `chatelaine hsm restore-blob` or `az keyvault security-domain restore-blob`")
	}
	if in.WrappedKey.Thumbprint != "" && in.WrappedKey.Thumbprint != Thumbprint(transfer.Certificate.Raw) {
		return nil, errors.New("the value was made for another transfer key; get the transfer key of this HSM once more")
	}
	master, err := openWith(compact(in.WrappedKey.EncKey), transfer.Key)
	if err != nil {
		return nil, err
	}
	return decrypt(master, in.EncData)
}
