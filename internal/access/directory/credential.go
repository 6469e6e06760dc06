package directory

import (
	"context"
	"crypto/subtle"
	"slices"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

const maxCredentials = 32 // of one principal

// NewCredential is a generated credential to be added.
type NewCredential struct {
	Kind        CredentialKind // ClientSecret or IdentityHeader
	Description string
	Expires     time.Time // zero: never
}

// AddCredential gives an application a new secret, and shows it this once. The old ones
// stay, so that a program can change over.
func (d *Directory) AddCredential(ctx context.Context, c access.Caller, principal string, n NewCredential) (Credential, access.Secret, error) {
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, "CredentialAdd"); err != nil {
		return Credential{}, access.Secret{}, err
	}
	if n.Kind != ClientSecret && n.Kind != IdentityHeader {
		return Credential{}, access.Secret{}, fault.New(fault.Invalid, "InvalidCredential", "kind %q is not one; write %q or %q", n.Kind, ClientSecret, IdentityHeader)
	}
	if n.Description != "" {
		if err := checkName(n.Description); err != nil {
			return Credential{}, access.Secret{}, err
		}
	}
	if !n.Expires.IsZero() && !n.Expires.After(d.now()) {
		return Credential{}, access.Secret{}, fault.New(fault.Invalid, "InvalidCredential", "the secret would have expired already; choose a later time")
	}
	added, secret := d.newCredential(principal, n)
	err := d.change(ctx, func(now *snapshot) (edit, error) {
		p, err := now.principal(principal)
		switch {
		case err != nil:
			return edit{}, err
		case p.Kind != Application:
			return edit{}, fault.New(fault.Invalid, "InvalidCredential", "%q is a person, who signs in with a password; secrets are for applications", p.Name)
		case len(now.held[principal]) >= maxCredentials:
			return edit{}, fault.New(fault.Conflict, "TooManyCredentials", "%q has %d secrets; remove one first", p.Name, maxCredentials)
		}
		return edit{put: []any{added}, records: []audit.Record{c.Record("CredentialAdd", added.target())}}, nil
	})
	if err != nil {
		return Credential{}, access.Secret{}, err
	}
	return added, secret, nil
}

func (d *Directory) newCredential(principal string, n NewCredential) (Credential, access.Secret) {
	prefix := access.ClientSecretPrefix
	if n.Kind == IdentityHeader {
		prefix = access.IdentityHeaderPrefix
	}
	secret := access.Generate(prefix)
	return Credential{
		ID: uuid.NewV4().String(), Principal: principal, Kind: n.Kind, Description: n.Description,
		Created: d.now().UTC(), Expires: n.Expires.UTC(), digest: secret.Digest(),
	}, secret
}

// RemoveCredential takes a secret away, and ends the tokens that were issued for it.
func (d *Directory) RemoveCredential(ctx context.Context, c access.Caller, principal, id string) error {
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, "CredentialRemove"); err != nil {
		return err
	}
	return d.change(ctx, func(now *snapshot) (edit, error) {
		held, ok := now.credentials[id]
		if !ok || held.Principal != principal {
			return edit{}, fault.New(fault.NotFound, "CredentialNotFound", "the principal has no secret %.40q; its list names each with its id", id)
		}
		return edit{remove: []ref{{credentialKind, id}}, records: []audit.Record{c.Record("CredentialRemove", held.target())}}, nil
	})
}

// SetPassword replaces a user's password and ends the user's sessions.
func (d *Directory) SetPassword(ctx context.Context, c access.Caller, principal string, password access.Secret) error {
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, "PasswordSet"); err != nil {
		return err
	}
	return d.replacePassword(ctx, c, principal, password)
}

// ChangePassword replaces the caller's own password, of which the old one must be shown,
// and ends the caller's sessions.
func (d *Directory) ChangePassword(ctx context.Context, c access.Caller, old, password access.Secret) error {
	p, err := d.Find(c.Principal)
	if err != nil {
		return err
	}
	if _, err := d.ProvePassword(ctx, p.SignIn, old); err != nil {
		return err
	}
	return d.replacePassword(ctx, c, p.ID, password)
}

func (d *Directory) replacePassword(ctx context.Context, c access.Caller, principal string, password access.Secret) error {
	phc, err := d.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	fresh := Credential{ID: uuid.NewV4().String(), Principal: principal, Kind: Password, Created: d.now().UTC(), phc: phc}
	return d.change(ctx, func(now *snapshot) (edit, error) {
		p, err := now.principal(principal)
		if err != nil {
			return edit{}, err
		}
		if p.Kind != User {
			return edit{}, fault.New(fault.Invalid, "InvalidCredential", "%q is an application; passwords are for people", p.Name)
		}
		p.Epoch++
		e := edit{put: []any{p, fresh}, records: []audit.Record{c.Record("PasswordSet", target(principal))}}
		for _, held := range now.held[principal] {
			if held.Kind == Password {
				e.remove = append(e.remove, ref{credentialKind, held.ID})
			}
		}
		return e, nil
	})
}

// Credentials returns what a principal can prove itself with, oldest first.
func (d *Directory) Credentials(ctx context.Context, c access.Caller, principal string) ([]Credential, error) {
	if err := d.Authorize(ctx, c, access.ReadAccess, access.Root, "CredentialList"); err != nil {
		return nil, err
	}
	now := d.current.Load()
	if _, err := now.principal(principal); err != nil {
		return nil, err
	}
	out := make([]Credential, 0, len(now.held[principal]))
	for _, held := range now.held[principal] {
		out = append(out, *held)
	}
	return out, nil
}

func (c Credential) target() string { return target(c.Principal) + "/credentials/" + c.ID }

// errWrong is the one answer to every wrong credential: it tells nobody which part of it
// was wrong, or whether the principal exists.
func errWrong() error {
	return fault.New(fault.Unauthenticated, "InvalidClient", "the credential is not valid; check the client id and the secret")
}

// ProveSecret returns the application that the client id and secret belong to.
func (d *Directory) ProveSecret(clientID string, secret access.Secret) (Principal, Credential, error) {
	now, digest := d.current.Load(), secret.Digest()
	p := now.byClient[foldGUID(clientID)]
	if p == nil {
		p = &Principal{} // goes the same way, and fails
	}
	var found *Credential
	for _, held := range now.held[p.ID] {
		if held.Kind == ClientSecret && subtle.ConstantTimeCompare(held.digest[:], digest[:]) == 1 {
			found = held
		}
	}
	return d.proven(p, found)
}

// ProveHeader returns the application whose managed-identity header this is. The look-up
// is by the header's hash, so its time says nothing about the header.
func (d *Directory) ProveHeader(header access.Secret) (Principal, Credential, error) {
	now := d.current.Load()
	found := now.byHeader[header.Digest()]
	if found == nil {
		return Principal{}, Credential{}, errWrong()
	}
	p := now.principals[found.Principal]
	if p == nil {
		p = &Principal{}
	}
	return d.proven(p, found)
}

func (d *Directory) proven(p *Principal, c *Credential) (Principal, Credential, error) {
	if c == nil || !p.Enabled || !c.Expires.IsZero() && !d.now().Before(c.Expires) {
		return Principal{}, Credential{}, errWrong()
	}
	return *p, *c, nil
}

// ProvePassword returns the user who signs in so. It takes as long for a user who does
// not exist. The principal is returned with a wrong password too, for the record; it is
// empty when there is none.
func (d *Directory) ProvePassword(ctx context.Context, signIn string, password access.Secret) (Principal, error) {
	now := d.current.Load()
	name, _ := foldSignIn(signIn)
	p, phc := Principal{}, ""
	if known := now.bySignIn[name]; known != nil {
		p = *known
		if i := slices.IndexFunc(now.held[p.ID], func(c *Credential) bool { return c.Kind == Password }); i >= 0 {
			phc = now.held[p.ID][i].phc
		}
	}
	same, err := d.passwords.verify(ctx, phc, password)
	if err != nil {
		return p, err
	}
	if !same || !p.Enabled {
		return p, fault.New(fault.Unauthenticated, "InvalidSignIn", "the name or the password is wrong; try again, or ask an administrator for a new password")
	}
	return p, nil
}

// Find returns the principal if it is enabled. It authorises nobody: it is for floors
// that hold a verified token or session of the principal.
func (d *Directory) Find(id string) (Principal, error) {
	p, err := d.current.Load().principal(id)
	if err == nil && !p.Enabled {
		err = fault.New(fault.Unauthenticated, "Disabled", "the account is disabled; ask an administrator")
	}
	return p, err
}

// Knows returns the client id in its one form if there is such an application, else
// nothing: for records, which take no text that anybody sends.
func (d *Directory) Knows(clientID string) string {
	if p := d.current.Load().byClient[foldGUID(clientID)]; p != nil {
		return p.ClientID
	}
	return ""
}

// Holds reports whether the principal still has the credential.
func (d *Directory) Holds(principal, credential string) bool {
	held, ok := d.current.Load().credentials[credential]
	return ok && held.Principal == principal
}

// foldGUID returns the lower-case form of a GUID as people and SDKs write it, or nothing.
func foldGUID(s string) string {
	if len(s) != guidLength {
		return ""
	}
	id, err := uuid.Parse(s)
	if err != nil {
		return ""
	}
	return id.String()
}
