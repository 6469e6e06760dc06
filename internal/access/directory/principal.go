package directory

import (
	"context"
	"encoding/base64"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

const maxName = 256 // bytes of a name, which people read

// target is the path of a principal in the audit trail.
func target(id string) string { return "/principals/" + id }

// Caller returns the principal as somebody who asks.
func (p Principal) Caller() access.Caller {
	return access.Caller{Principal: p.ID, Name: p.Name, Application: p.ClientID}
}

// NewUser is a person to be known.
type NewUser struct {
	Name     string // for people
	SignIn   string // such as "ada" or "ada@example.com"; letters are alike in either case
	Password access.Secret
}

// CreateUser adds a person who signs in with a password. A sign-in name that is taken, in
// any case, is fault.Conflict.
func (d *Directory) CreateUser(ctx context.Context, c access.Caller, u NewUser) (Principal, error) {
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, "PrincipalCreate"); err != nil {
		return Principal{}, err
	}
	signIn, ok := foldSignIn(u.SignIn)
	if !ok {
		return Principal{}, fault.New(fault.Invalid, "InvalidSignIn",
			"a sign-in name has 1 to 128 letters, digits and \"._-@+\" of ASCII, and begins and ends with a letter or digit")
	}
	if err := checkName(u.Name); err != nil {
		return Principal{}, err
	}
	phc, err := d.passwords.hash(ctx, u.Password)
	if err != nil {
		return Principal{}, err
	}
	p := Principal{ID: uuid.NewV4().String(), Kind: User, Name: u.Name, SignIn: signIn, Enabled: true, Created: d.now().UTC()}
	secret := Credential{ID: uuid.NewV4().String(), Principal: p.ID, Kind: Password, Created: p.Created, phc: phc}
	return p, d.change(ctx, func(now *snapshot) (edit, error) {
		if now.bySignIn[signIn] != nil {
			return edit{}, fault.New(fault.Conflict, "SignInTaken", "there is already a user who signs in as %q; choose another name", signIn)
		}
		return edit{put: []any{p, secret}, records: []audit.Record{c.Record("PrincipalCreate", target(p.ID))}}, nil
	})
}

// CreateApplication adds a program. It has no secret yet.
func (d *Directory) CreateApplication(ctx context.Context, c access.Caller, name string) (Principal, error) {
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, "PrincipalCreate"); err != nil {
		return Principal{}, err
	}
	if err := checkName(name); err != nil {
		return Principal{}, err
	}
	p := d.newApplication(name)
	return p, d.change(ctx, func(*snapshot) (edit, error) {
		return edit{put: []any{p}, records: []audit.Record{c.Record("PrincipalCreate", target(p.ID))}}, nil
	})
}

func (d *Directory) newApplication(name string) Principal {
	return Principal{
		ID: uuid.NewV4().String(), Kind: Application, Name: name, ClientID: uuid.NewV4().String(),
		Enabled: true, Created: d.now().UTC(),
	}
}

// SetEnabled lets a principal in or keeps it out. Keeping it out ends its tokens and
// sessions for good: enabled again, it signs in again.
func (d *Directory) SetEnabled(ctx context.Context, c access.Caller, id string, enabled bool) (Principal, error) {
	operation := "PrincipalEnable"
	if !enabled {
		operation = "PrincipalDisable"
	}
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, operation); err != nil {
		return Principal{}, err
	}
	var p Principal
	err := d.change(ctx, func(now *snapshot) (edit, error) {
		var err error
		if p, err = now.principal(id); err != nil || p.Enabled == enabled {
			return edit{}, err
		}
		p.Enabled = enabled
		if !enabled {
			p.Epoch++
		}
		return edit{put: []any{p}, records: []audit.Record{c.Record(operation, target(id))}}, nil
	})
	return p, err
}

// DeletePrincipal removes a principal with its credentials and assignments.
func (d *Directory) DeletePrincipal(ctx context.Context, c access.Caller, id string) error {
	if err := d.Authorize(ctx, c, access.WriteAccess, access.Root, "PrincipalDelete"); err != nil {
		return err
	}
	return d.change(ctx, func(now *snapshot) (edit, error) {
		if _, err := now.principal(id); err != nil {
			return edit{}, err
		}
		e := edit{remove: []ref{{principalKind, id}}, records: []audit.Record{c.Record("PrincipalDelete", target(id))}}
		for _, held := range now.held[id] {
			e.remove = append(e.remove, ref{credentialKind, held.ID})
		}
		for _, a := range now.assigned[id] {
			e.remove = append(e.remove, ref{assignmentKind, a.ID})
		}
		return e, nil
	})
}

// Principal returns one principal.
func (d *Directory) Principal(ctx context.Context, c access.Caller, id string) (Principal, error) {
	if err := d.Authorize(ctx, c, access.ReadAccess, access.Root, "PrincipalGet"); err != nil {
		return Principal{}, err
	}
	return d.current.Load().principal(id)
}

// Lookup returns those principals that have one of the object ids, client ids or sign-in
// names. Everybody may look up themselves.
func (d *Directory) Lookup(ctx context.Context, c access.Caller, ids ...string) ([]Principal, error) {
	now := d.current.Load()
	var found []Principal
	self := true
	for _, id := range ids {
		id = strings.ToLower(id)
		self = self && (id == c.Principal || id == c.Application && id != "")
		p := now.principals[id]
		if p == nil {
			p = now.byClient[id]
		}
		if p == nil {
			p = now.bySignIn[id]
		}
		if p != nil {
			found = append(found, *p)
		}
	}
	if self {
		return found, nil
	}
	if err := d.Authorize(ctx, c, access.ReadAccess, access.Root, "PrincipalGet"); err != nil {
		return nil, err
	}
	return found, nil
}

// Principals returns up to limit principals after the cursor, by name, and the cursor of
// the next page, empty on the last.
func (d *Directory) Principals(ctx context.Context, c access.Caller, cursor string, limit int) ([]Principal, string, error) {
	if err := d.Authorize(ctx, c, access.ReadAccess, access.Root, "PrincipalList"); err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	ordered := d.current.Load().ordered
	start := 0
	if cursor != "" {
		after, err := decodeCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		start = sort.Search(len(ordered), func(i int) bool { return byName(ordered[i], &after) > 0 })
	}
	page := ordered[start:min(start+limit, len(ordered))]
	out := make([]Principal, len(page))
	for i, p := range page {
		out[i] = *p
	}
	if start+limit < len(ordered) {
		last := page[len(page)-1]
		return out, base64.RawURLEncoding.EncodeToString([]byte(last.ID + last.Name)), nil
	}
	return out, "", nil
}

const guidLength = 36

func decodeCursor(cursor string) (Principal, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < guidLength {
		return Principal{}, fault.New(fault.Invalid, "InvalidCursor", "the cursor is not one that a list returned; begin at the first page")
	}
	return Principal{ID: string(b[:guidLength]), Name: string(b[guidLength:])}, nil
}

func pageSize(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, 1000)
}

func (s *snapshot) principal(id string) (Principal, error) {
	if p, ok := s.principals[id]; ok {
		return *p, nil
	}
	return Principal{}, fault.New(fault.NotFound, "PrincipalNotFound", "there is no principal %.40q; the list of principals names each with its id", id)
}

// foldSignIn returns the one form of a sign-in name. Only ASCII is taken and only ASCII
// is folded, so that no two names which look alike are two accounts, and none that looks
// different is the same.
func foldSignIn(name string) (string, bool) {
	if len(name) == 0 || len(name) > 128 {
		return "", false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		inside := i > 0 && i < len(name)-1 && strings.IndexByte("._-@+", c) >= 0
		if !plain && !inside {
			return "", false
		}
	}
	return strings.ToLower(name), true
}

func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && utf8.ValidString(name) && strings.TrimSpace(name) == name
	for _, r := range name {
		ok = ok && unicode.IsPrint(r)
	}
	if !ok {
		return fault.New(fault.Invalid, "InvalidName", "a name has 1 to %d bytes that can be seen, and no space at its ends", maxName)
	}
	return nil
}
