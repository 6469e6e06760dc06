package directory

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"chatelaine.dev/internal/access"
)

// sealedCredential is a Credential as it is sealed, with what the exported form hides.
type sealedCredential struct {
	Credential
	Digest []byte `json:"digest,omitempty"`
	PHC    string `json:"phc,omitempty"`
}

type sealedKey struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Retired time.Time `json:"retired,omitzero"`
	Private []byte    `json:"private"` // PKCS #8
}

type sealedState struct {
	Tenant string `json:"tenant"`
	Sum    []byte `json:"sum"`
}

// encode returns the kind, the id and the plaintext of an entry.
func encode(item any) (ref, []byte, error) {
	switch v := item.(type) {
	case Principal:
		b, err := json.Marshal(v)
		return ref{principalKind, v.ID}, b, err
	case Credential:
		s := sealedCredential{Credential: v, PHC: v.phc}
		if v.digest != (access.Digest{}) {
			s.Digest = v.digest[:]
		}
		b, err := json.Marshal(s)
		return ref{credentialKind, v.ID}, b, err
	case Assignment:
		b, err := json.Marshal(v)
		return ref{assignmentKind, v.ID}, b, err
	case SigningKey:
		der, err := x509.MarshalPKCS8PrivateKey(v.private)
		if err != nil {
			return ref{}, nil, err
		}
		b, err := json.Marshal(sealedKey{ID: v.ID, Created: v.Created, Retired: v.Retired, Private: der})
		return ref{signingKeyKind, v.ID}, b, err
	}
	return ref{}, nil, fmt.Errorf("directory: no entry holds a %T", item)
}

// decode undoes encode.
func decode(kind string, plain []byte) (any, error) {
	switch kind {
	case principalKind:
		var p Principal
		err := json.Unmarshal(plain, &p)
		return p, err
	case credentialKind:
		var s sealedCredential
		if err := json.Unmarshal(plain, &s); err != nil {
			return nil, err
		}
		c := s.Credential
		c.phc = s.PHC
		if n := copy(c.digest[:], s.Digest); n != 0 && n != len(c.digest) {
			return nil, fmt.Errorf("digest of %d bytes", n)
		}
		return c, nil
	case assignmentKind:
		var a Assignment
		err := json.Unmarshal(plain, &a)
		return a, err
	case signingKeyKind:
		var s sealedKey
		if err := json.Unmarshal(plain, &s); err != nil {
			return nil, err
		}
		k, err := x509.ParsePKCS8PrivateKey(s.Private)
		if err != nil {
			return nil, err
		}
		private, ok := k.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("signing key is a %T", k)
		}
		return SigningKey{ID: s.ID, Created: s.Created, Retired: s.Retired, private: private}, nil
	}
	return nil, fmt.Errorf("directory: unknown kind %q", kind)
}
