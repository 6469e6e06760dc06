package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func accessCommand() *cobra.Command {
	return group("access", "Who may do what: principals, roles, assignments", governGroup,
		accessRolesCommand(), accessPrincipalsCommand(), accessCreateCommand(), accessDeleteCommand(),
		accessAssignmentsCommand(), accessAssignCommand(), accessUnassignCommand())
}

// role is what the verbs read of one.
type role struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Actions     []string `json:"actions"`
}

type accessListOptions struct {
	remote
	listing
	scope, principal string
}

func accessRolesCommand() *cobra.Command {
	var o accessListOptions
	return o.command("roles", "List roles", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runAccessRoles(ctx, o) })
}

func runAccessRoles(ctx context.Context, o accessListOptions) error {
	return list(ctx, o.remote, listing{}, "GET /roles", nil, []terminal.Column[role]{
		{Name: "name", Of: func(r role) string { return r.Name }},
		{Name: "description", Of: func(r role) string { return r.Description }},
		{Name: "id", Of: func(r role) string { return r.ID }},
	})
}

// principal is what the verbs read of one.
type principal struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	SignIn   string    `json:"signIn"`
	ClientID string    `json:"clientId"`
	Enabled  bool      `json:"enabled"`
	Created  time.Time `json:"created"`
}

func accessPrincipalsCommand() *cobra.Command {
	var o accessListOptions
	c := o.command("principals", "List people and programs", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runAccessPrincipals(ctx, o) })
	o.flags(c)
	return c
}

func runAccessPrincipals(ctx context.Context, o accessListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /principals", nil, []terminal.Column[principal]{
		{Name: "name", Of: func(p principal) string { return p.Name }},
		{Name: "kind", Of: func(p principal) string { return p.Kind }},
		{Name: "signs in as", Of: func(p principal) string { return p.SignIn + p.ClientID }},
		{Name: "enabled", Of: func(p principal) string { return yes(p.Enabled) }},
		{Name: "created", Of: func(p principal) string { return terminal.Moment(p.Created) }},
		{Name: "id", Of: func(p principal) string { return p.ID }},
	})
}

type accessCreateOptions struct {
	remote
	name, role, scope string
}

func accessCreateCommand() *cobra.Command {
	var o accessCreateOptions
	c := o.command("create NAME", "Add a program, and print its credentials this once", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.name = args[0]
		return runAccessCreate(ctx, o)
	})
	c.Example = `  chatelaine access create deploy-robot --role Operator
  chatelaine access create shop --role "Key Vault Secrets User" --scope /vaults/default`
	c.Flags().StringVar(&o.role, "role", "", "role to give it, by name or id")
	c.Flags().StringVar(&o.scope, "scope", "/", "where the role holds: /, /vaults/NAME, /vaults/NAME/secrets/NAME…")
	return c
}

func runAccessCreate(ctx context.Context, o accessCreateOptions) error {
	p, err := send[principal](ctx, o.remote, "POST /applications", map[string]any{"name": o.name})
	if err != nil {
		return err
	}
	if o.role != "" {
		if err := o.Do(ctx, "POST /assignments", nil, map[string]any{"principal": p.Value.ID, "role": o.role, "scope": o.scope}, nil); err != nil {
			return fmt.Errorf("the program %s is there, without a role: %w", p.Value.ID, err)
		}
	}
	secret, err := send[struct {
		Secret string `json:"secret"`
	}](ctx, o.remote, at("POST /principals/%s/credentials", p.Value.ID), map[string]any{"description": "made with the program"})
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(map[string]any{"id": p.Value.ID, "name": p.Value.Name, "clientId": p.Value.ClientID, "secret": secret.Value.Secret})
	}
	fmt.Fprintf(o.Err, "created %s (%s); its secret is shown this once\n", p.Value.Name, p.Value.ID)
	fmt.Fprintf(o.Out, "export AZURE_CLIENT_ID='%s'\nexport AZURE_CLIENT_SECRET='%s'\n", p.Value.ClientID, secret.Value.Secret)
	return nil
}

type accessDeleteOptions struct {
	remote
	principal string
}

func accessDeleteCommand() *cobra.Command {
	var o accessDeleteOptions
	c := o.command("delete PRINCIPAL", "Delete a principal with its credentials and assignments", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.principal = args[0]
		return runAccessDelete(ctx, o)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aPrincipal)
	return c
}

func runAccessDelete(ctx context.Context, o accessDeleteOptions) error {
	id, err := idOf(ctx, o.remote, aPrincipal, o.principal)
	if err != nil {
		return err
	}
	return o.Do(ctx, at("DELETE /principals/%s", id), nil, nil, nil)
}

// assignment is what the verbs read of one.
type assignment struct {
	ID        string    `json:"id"`
	Principal string    `json:"principal"`
	Role      string    `json:"role"`
	Scope     string    `json:"scope"`
	Created   time.Time `json:"created"`
}

func accessAssignmentsCommand() *cobra.Command {
	var o accessListOptions
	c := o.command("assignments", "List who has which role where", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runAccessAssignments(ctx, o) })
	o.flags(c)
	c.Flags().StringVar(&o.scope, "scope", "/", "this scope and everything below it")
	c.Flags().StringVar(&o.principal, "principal", "", "name or id")
	return c
}

func runAccessAssignments(ctx context.Context, o accessListOptions) error {
	if o.principal != "" {
		var err error
		if o.principal, err = idOf(ctx, o.remote, aPrincipal, o.principal); err != nil {
			return err
		}
	}
	names, err := namesOf(ctx, o.remote)
	if err != nil {
		return err
	}
	return list(ctx, o.remote, o.listing, "GET /assignments", url.Values{"scope": {o.scope}, "principal": {o.principal}}, []terminal.Column[assignment]{
		{Name: "principal", Of: func(a assignment) string { return names[a.Principal] }},
		{Name: "role", Of: func(a assignment) string { return names[a.Role] }},
		{Name: "scope", Of: func(a assignment) string { return a.Scope }},
		{Name: "since", Of: func(a assignment) string { return terminal.Moment(a.Created) }},
		{Name: "id", Of: func(a assignment) string { return a.ID }},
	})
}

type accessAssignOptions struct {
	remote
	principal, role, scope string
}

func accessAssignCommand() *cobra.Command {
	var o accessAssignOptions
	c := o.command("assign PRINCIPAL ROLE [SCOPE]", "Give a principal a role at a scope and everything below it", cobra.RangeArgs(2, 3),
		func(ctx context.Context, args []string) error {
			o.principal, o.role, o.scope = args[0], args[1], "/"
			if len(args) == 3 {
				o.scope = args[2]
			}
			return runAccessAssign(ctx, o)
		})
	c.Example = `  chatelaine access assign shop "Key Vault Secrets User" /vaults/default`
	c.ValidArgsFunction = completeNames(&o.remote, aPrincipal)
	return c
}

func runAccessAssign(ctx context.Context, o accessAssignOptions) error {
	id, err := idOf(ctx, o.remote, aPrincipal, o.principal)
	if err != nil {
		return err
	}
	a, err := send[assignment](ctx, o.remote, "POST /assignments", map[string]any{"principal": id, "role": o.role, "scope": o.scope})
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(a)
	}
	fmt.Fprintf(o.Out, "%s has the role %s at %s (assignment %s)\n", o.principal, o.role, a.Value.Scope, a.Value.ID)
	return nil
}

type accessUnassignOptions struct {
	remote
	assignment string
}

func accessUnassignCommand() *cobra.Command {
	var o accessUnassignOptions
	return o.command("unassign ASSIGNMENT", "Take a role away", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.assignment = args[0]
		return runAccessUnassign(ctx, o)
	})
}

func runAccessUnassign(ctx context.Context, o accessUnassignOptions) error {
	return o.Do(ctx, at("DELETE /assignments/%s", o.assignment), nil, nil, nil)
}

// namesOf are the names of roles and principals by their ids, for people to read.
func namesOf(ctx context.Context, r remote) (map[string]string, error) {
	names := map[string]string{}
	for _, route := range []string{"GET /roles", "GET /principals"} {
		for o, err := range client.All[named](ctx, r.Client, route, nil) {
			if err != nil {
				return nil, err
			}
			names[o.Value.ID] = o.Value.Name
		}
	}
	return names, nil
}
