package directory

import (
	"crypto/ecdsa"
	"time"

	"chatelaine.dev/internal/access"
)

// Kind tells people from programs.
type Kind string

// The kinds of principal.
const (
	User        Kind = "user"
	Application Kind = "application"
)

// Principal is who may be allowed something.
type Principal struct {
	ID       string    `json:"id"`                 // object id, a GUID
	Kind     Kind      `json:"kind"`               //
	Name     string    `json:"name"`               // for people
	SignIn   string    `json:"signIn,omitempty"`   // a user's sign-in name, lower case
	ClientID string    `json:"clientId,omitempty"` // an application's id, a GUID
	Enabled  bool      `json:"enabled"`
	Epoch    int64     `json:"epoch"` // grows when every token and session of the principal must end
	Created  time.Time `json:"created"`
}

// CredentialKind says how a credential is shown.
type CredentialKind string

// The kinds of credential.
const (
	ClientSecret   CredentialKind = "secret"   // to the token endpoint
	IdentityHeader CredentialKind = "header"   // to the managed-identity endpoint
	Password       CredentialKind = "password" // at sign-in
)

// Credential proves a principal. Of a generated secret the SHA-256 is kept, of a password
// its Argon2id hash. Tokens name the credential that they were issued for and end with it.
type Credential struct {
	ID          string         `json:"id"`
	Principal   string         `json:"principal"`
	Kind        CredentialKind `json:"kind"`
	Description string         `json:"description,omitempty"`
	Created     time.Time      `json:"created"`
	Expires     time.Time      `json:"expires,omitzero"` // zero: never

	digest access.Digest
	phc    string
}

// Assignment gives a principal a role at a scope and everything below it.
type Assignment struct {
	ID        string       `json:"id"`
	Principal string       `json:"principal"`
	Role      string       `json:"role"` // id of the role
	Scope     access.Scope `json:"scope"`
	Created   time.Time    `json:"created"`
}

// SigningKey signs tokens. It prints without its private half.
type SigningKey struct {
	ID      string    // the "kid" of tokens
	Created time.Time //
	Retired time.Time // when a newer key took over; zero for the one that signs

	private *ecdsa.PrivateKey
}

// Signer returns the private key.
func (k SigningKey) Signer() *ecdsa.PrivateKey { return k.private }

// Public returns the public key.
func (k SigningKey) Public() *ecdsa.PublicKey { return &k.private.PublicKey }
