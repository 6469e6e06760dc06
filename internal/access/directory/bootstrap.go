package directory

import (
	"context"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

// Administrator is the first administrator: an application with every right. The secrets
// are there only when it was just made.
type Administrator struct {
	Tenant   string // GUID
	ID       string // object id
	ClientID string
	Secret   access.Secret // for the token endpoint
	Header   access.Secret // for the managed-identity endpoint
}

// EnsureAdministrator makes the first administrator in an empty directory and reports
// whether it did. keep is given the credentials before they are committed, so that a
// crash in between loses none: what keep wrote is then replaced at the next start. When
// another node was faster, made is false although keep was called; what it wrote is
// worthless.
func (d *Directory) EnsureAdministrator(ctx context.Context, keep func(Administrator) error) (a Administrator, made bool, err error) {
	if a, ok := d.first(); ok {
		return a, false, nil
	}
	p := d.newApplication("Administrator")
	secret, secretText := d.newCredential(p.ID, NewCredential{Kind: ClientSecret, Description: "made at the first start"})
	header, headerText := d.newCredential(p.ID, NewCredential{Kind: IdentityHeader, Description: "made at the first start"})
	a = Administrator{Tenant: d.Tenant(), ID: p.ID, ClientID: p.ClientID, Secret: secretText, Header: headerText}
	if a.Tenant == "" {
		a.Tenant = uuid.NewV4().String()
	}
	if err := keep(a); err != nil {
		return Administrator{}, false, err
	}
	c := access.System("bootstrap")
	e := edit{put: []any{p, secret, header}, records: []audit.Record{c.Record("PrincipalCreate", target(p.ID))}}
	for _, role := range []string{access.AdministratorRole, access.KeyVaultAdministratorRole} {
		given := Assignment{ID: uuid.NewV4().String(), Principal: p.ID, Role: role, Scope: access.Root, Created: p.Created}
		e.put = append(e.put, given)
		e.records = append(e.records, given.record(c, "RoleAssignmentCreate"))
	}
	err = d.change(ctx, func(now *snapshot) (edit, error) {
		if now.administered() {
			return edit{}, errTaken()
		}
		e := e
		if now.tenant == "" {
			e.tenant = a.Tenant
		} else if now.tenant != a.Tenant {
			return edit{}, errTaken()
		}
		return e, nil
	})
	if fault.HasCode(err, "AdministratorExists") {
		if err := d.Reload(ctx); err != nil {
			return Administrator{}, false, err
		}
		if a, ok := d.first(); ok {
			return a, false, nil
		}
	}
	if err != nil {
		return Administrator{}, false, err
	}
	return a, true, nil
}

func errTaken() error {
	return fault.New(fault.Conflict, "AdministratorExists", "another node made the first administrator; start this one again")
}

// first returns the oldest enabled Administrator at /, without secrets.
func (d *Directory) first() (Administrator, bool) {
	now := d.current.Load()
	var oldest *Assignment
	for _, a := range now.assignments {
		p, ok := now.principals[a.Principal]
		if a.Role != access.AdministratorRole || a.Scope != access.Root || !ok || !p.Enabled {
			continue
		}
		if oldest == nil || a.Created.Before(oldest.Created) {
			oldest = a
		}
	}
	if oldest == nil {
		return Administrator{}, false
	}
	p := now.principals[oldest.Principal]
	return Administrator{Tenant: now.tenant, ID: p.ID, ClientID: p.ClientID}, true
}
