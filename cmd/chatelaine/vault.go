package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func vaultCommand() *cobra.Command {
	return group("vault", "Vaults: containers of keys, secrets and certificates", keepGroup,
		vaultListCommand(), vaultShowCommand(), vaultCreateCommand(), vaultUpdateCommand(),
		vaultDeleteCommand(), vaultListDeletedCommand(), vaultRecoverCommand(), vaultPurgeCommand(),
		vaultSetPolicyCommand(), vaultDeletePolicyCommand(), vaultNetworkRuleCommand())
}

// vault is what the verbs read of one.
type vault struct {
	Name            string            `json:"name"`
	Kind            string            `json:"kind"`
	Created         time.Time         `json:"created"`
	RetentionDays   int               `json:"retentionDays"`
	PurgeProtection bool              `json:"purgeProtection"`
	Access          string            `json:"access"`
	Policies        []vaultPolicy     `json:"policies"`
	Network         vaultNetwork      `json:"network"`
	Tags            map[string]string `json:"tags"`
	Group           string            `json:"group"`
	Location        string            `json:"location"`
	Deleted         time.Time         `json:"deleted"`
	Purge           time.Time         `json:"purge"`
}

type vaultNetwork struct {
	Private       bool     `json:"private"`
	DefaultAction string   `json:"defaultAction"`
	IPRules       []string `json:"ipRules"`
}

// summary says in a few words who is let in.
func (n vaultNetwork) summary() string {
	var parts []string
	if n.Private {
		parts = append(parts, "private addresses only")
	}
	if n.DefaultAction == "Deny" && len(n.IPRules) == 0 {
		parts = append(parts, "closed")
	} else if n.DefaultAction == "Deny" {
		parts = append(parts, "only from "+strings.Join(n.IPRules, ", "))
	}
	if len(parts) == 0 {
		return "open"
	}
	return strings.Join(parts, "; ")
}

func vaultColumns() []terminal.Column[vault] {
	return []terminal.Column[vault]{
		{Name: "name", Of: func(v vault) string { return v.Name }},
		{Name: "kind", Of: func(v vault) string { return v.Kind }},
		{Name: "retention", Of: func(v vault) string { return terminal.Plural(v.RetentionDays, "day") }},
		{Name: "purge protection", Of: func(v vault) string { return yes(v.PurgeProtection) }},
		{Name: "access by", Of: func(v vault) string { return v.Access }},
		{Name: "network", Of: func(v vault) string { return v.Network.summary() }},
		{Name: "created", Of: func(v vault) string { return terminal.Moment(v.Created) }},
	}
}

// vaultFields are the columns and what is too much for a table.
func vaultFields() []terminal.Column[vault] {
	return append(vaultColumns(),
		terminal.Column[vault]{Name: "tags", Of: func(v vault) string { return spellTags(v.Tags) }},
		terminal.Column[vault]{Name: "group", Of: func(v vault) string { return v.Group }},
		terminal.Column[vault]{Name: "location", Of: func(v vault) string { return v.Location }},
		terminal.Column[vault]{Name: "policies", Of: func(v vault) string {
			var lines []string
			for _, p := range v.Policies {
				lines = append(lines, p.spell())
			}
			return strings.Join(lines, "; ")
		}},
		terminal.Column[vault]{Name: "deleted", Of: func(v vault) string { return terminal.Moment(v.Deleted) }},
		terminal.Column[vault]{Name: "goes for good", Of: func(v vault) string { return terminal.Moment(v.Purge) }},
	)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

type vaultListOptions struct {
	remote
	listing
}

func vaultListCommand() *cobra.Command {
	var o vaultListOptions
	c := o.command("list", "List vaults", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runVaultList(ctx, o) })
	o.flags(c)
	return c
}

func runVaultList(ctx context.Context, o vaultListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /vaults", nil, vaultColumns())
}

// vaultOptions are those of a verb that takes a vault and nothing else.
type vaultOptions struct {
	remote
	vault string
}

// onVault makes such a verb.
func onVault(use, short string, run func(ctx context.Context, o vaultOptions) error) *cobra.Command {
	var o vaultOptions
	c := o.command(use, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.vault = args[0]
		return run(ctx, o)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aVault)
	return c
}

func vaultShowCommand() *cobra.Command { return onVault("show VAULT", "Show a vault", runVaultShow) }

func runVaultShow(ctx context.Context, o vaultOptions) error {
	v, err := get[vault](ctx, o.remote, at("GET /vaults/%s", o.vault))
	if client.HasCode(err, "VaultNotFound") {
		if v, derr := get[vault](ctx, o.remote, at("GET /deleted-vaults/%s", o.vault)); derr == nil {
			return show(o.remote, v, vaultFields())
		}
	}
	if err != nil {
		return err
	}
	return show(o.remote, v, vaultFields())
}

type vaultCreateOptions struct {
	remote
	vault           string
	retention       int
	purgeProtection bool
	kind, access    string
	group, location string
	tags            map[string]string
}

func vaultCreateCommand() *cobra.Command {
	var o vaultCreateOptions
	c := o.command("create VAULT", "Create a vault", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.vault = args[0]
		return runVaultCreate(ctx, o)
	})
	c.Flags().IntVar(&o.retention, "retention-days", 90, "how long what was deleted can be recovered, 7 to 90; it cannot be changed")
	c.Flags().BoolVar(&o.purgeProtection, "purge-protection", false, "nobody can purge before retention ends; it cannot be taken back")
	c.Flags().StringVar(&o.kind, "kind", "vault", "vault, or hsm: keys only, as a managed HSM; you are its Administrator")
	c.Flags().StringVar(&o.access, "access", "roles", "what decides who may do what in it: roles or policies")
	c.Flags().StringVar(&o.group, "group", "", "resource group, as Azure's tools know it")
	c.Flags().StringVar(&o.location, "location", "", "what you call its place")
	c.Flags().StringToStringVar(&o.tags, "tag", nil, "a tag, such as env=prod")
	complete(c, "access", "roles", "policies")
	complete(c, "kind", "vault", "hsm")
	return c
}

func runVaultCreate(ctx context.Context, o vaultCreateOptions) error {
	v, err := send[vault](ctx, o.remote, at("PUT /vaults/%s", o.vault), map[string]any{
		"kind": o.kind, "retentionDays": o.retention, "purgeProtection": o.purgeProtection, "access": o.access, "group": o.group, "location": o.location, "tags": o.tags,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "created vault %s\n", v.Value.Name)
	return show(o.remote, v, vaultFields())
}

type vaultUpdateOptions struct {
	remote
	vault           string
	purgeProtection bool
	access          string
	defaultAction   string
	private         string
	tags            map[string]string
}

func vaultUpdateCommand() *cobra.Command {
	var o vaultUpdateOptions
	c := o.command("update VAULT", "Change a vault", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.vault = args[0]
		return runVaultUpdate(ctx, o)
	})
	c.Flags().BoolVar(&o.purgeProtection, "purge-protection", false, "nobody can purge before retention ends; it cannot be taken back")
	c.Flags().StringVar(&o.access, "access", "", "what decides who may do what in it: roles or policies")
	c.Flags().StringVar(&o.defaultAction, "default-action", "", "what happens to addresses that no network rule lets in: Allow or Deny")
	c.Flags().StringVar(&o.private, "private", "", "whether public addresses are shut out: yes or no")
	c.Flags().StringToStringVar(&o.tags, "tag", nil, "a tag, such as env=prod; replaces all tags")
	complete(c, "access", "roles", "policies")
	complete(c, "default-action", "Allow", "Deny")
	complete(c, "private", "yes", "no")
	c.Example = `  chatelaine vault network-rule add payroll 10.0.0.0/8
  chatelaine vault update payroll --default-action Deny`
	c.ValidArgsFunction = completeNames(&o.remote, aVault)
	return c
}

func runVaultUpdate(ctx context.Context, o vaultUpdateOptions) error {
	body, network := map[string]any{}, map[string]any{}
	if o.purgeProtection {
		body["purgeProtection"] = true
	}
	if o.access != "" {
		body["access"] = o.access
	}
	if len(o.tags) > 0 {
		body["tags"] = o.tags
	}
	if o.defaultAction != "" {
		network["defaultAction"] = o.defaultAction
	}
	switch o.private {
	case "":
	case "yes", "no":
		network["private"] = o.private == "yes"
	default:
		return fmt.Errorf("--private is yes or no, not %q", o.private)
	}
	if len(network) > 0 {
		body["network"] = network
	}
	if len(body) == 0 {
		return fmt.Errorf("nothing to change; see chatelaine vault update --help")
	}
	v, err := send[vault](ctx, o.remote, at("PATCH /vaults/%s", o.vault), body)
	if err != nil {
		return err
	}
	return show(o.remote, v, vaultFields())
}

func vaultDeleteCommand() *cobra.Command {
	return onVault("delete VAULT", "Delete a vault; until its retention ends it can be recovered", runVaultDelete)
}

func runVaultDelete(ctx context.Context, o vaultOptions) error {
	v, err := send[vault](ctx, o.remote, at("DELETE /vaults/%s", o.vault), nil)
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(v)
	}
	fmt.Fprintf(o.Out, "vault %s is deleted; it goes for good on %s, until then \"chatelaine vault recover %s\" brings it back\n",
		v.Value.Name, terminal.Moment(v.Value.Purge), v.Value.Name)
	return nil
}

func vaultListDeletedCommand() *cobra.Command {
	var o vaultListOptions
	c := o.command("list-deleted", "List deleted vaults", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runVaultListDeleted(ctx, o) })
	o.flags(c)
	return c
}

func runVaultListDeleted(ctx context.Context, o vaultListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /deleted-vaults", url.Values{}, []terminal.Column[vault]{
		{Name: "name", Of: func(v vault) string { return v.Name }},
		{Name: "deleted", Of: func(v vault) string { return terminal.Moment(v.Deleted) }},
		{Name: "goes for good", Of: func(v vault) string { return terminal.Moment(v.Purge) }},
		{Name: "purge protection", Of: func(v vault) string { return yes(v.PurgeProtection) }},
	})
}

func vaultRecoverCommand() *cobra.Command {
	return onVault("recover VAULT", "Recover a deleted vault", runVaultRecover)
}

func runVaultRecover(ctx context.Context, o vaultOptions) error {
	v, err := send[vault](ctx, o.remote, at("POST /deleted-vaults/%s/recover", o.vault), nil)
	if err != nil {
		return err
	}
	return show(o.remote, v, vaultFields())
}

func vaultPurgeCommand() *cobra.Command {
	return onVault("purge VAULT", "Remove a deleted vault for good, with all that is in it", runVaultPurge)
}

func runVaultPurge(ctx context.Context, o vaultOptions) error {
	if err := o.Do(ctx, at("DELETE /deleted-vaults/%s", o.vault), nil, nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "vault %s is gone\n", o.vault)
	return nil
}
