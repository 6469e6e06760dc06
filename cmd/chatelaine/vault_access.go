package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

// vaultPolicy is an access policy, as the verbs read it.
type vaultPolicy struct {
	Principal    string   `json:"principal"`
	Application  string   `json:"application"`
	Keys         []string `json:"keys"`
	Secrets      []string `json:"secrets"`
	Certificates []string `json:"certificates"`
}

// spell says whom a policy is for and what it allows.
func (p vaultPolicy) spell() string {
	var parts []string
	for _, area := range []struct {
		name  string
		words []string
	}{{"keys", p.Keys}, {"secrets", p.Secrets}, {"certificates", p.Certificates}} {
		if len(area.words) > 0 {
			parts = append(parts, area.name+" "+strings.Join(area.words, ","))
		}
	}
	return p.Principal + ": " + strings.Join(parts, " ")
}

// spellTags writes tags in the order of their names.
func spellTags(tags map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, name+"="+tags[name])
	}
	return strings.Join(parts, " ")
}

type vaultSetPolicyOptions struct {
	remote
	vault, principal, application string
	keys, secrets, certificates   []string
}

func vaultSetPolicyCommand() *cobra.Command {
	var o vaultSetPolicyOptions
	c := o.command("set-policy VAULT PRINCIPAL", "Say what a principal may do in a vault where access policies decide", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error {
			o.vault, o.principal = args[0], args[1]
			return runVaultSetPolicy(ctx, o)
		})
	c.Flags().StringSliceVar(&o.keys, "keys", nil, "permissions for keys, such as get,sign; all for all")
	c.Flags().StringSliceVar(&o.secrets, "secrets", nil, "permissions for secrets, such as get,list; all for all")
	c.Flags().StringSliceVar(&o.certificates, "certificates", nil, "permissions for certificates, such as get,import; all for all")
	c.Flags().StringVar(&o.application, "application", "", "client id; then the policy counts only for what is done through this program")
	c.Example = `  chatelaine vault set-policy payroll shop --secrets get,list`
	c.ValidArgsFunction = completeNames(&o.remote, aVault)
	return c
}

func runVaultSetPolicy(ctx context.Context, o vaultSetPolicyOptions) error {
	id, err := idOf(ctx, o.remote, aPrincipal, o.principal)
	if err != nil {
		return err
	}
	var v client.Object[vault]
	body := map[string]any{"keys": o.keys, "secrets": o.secrets, "certificates": o.certificates}
	if err := o.Do(ctx, at("PUT /vaults/%s/policies/%s", o.vault, id), url.Values{"application": {o.application}}, body, &v); err != nil {
		return err
	}
	if v.Value.Access != "policies" {
		fmt.Fprintf(o.Err, "note: roles decide in this vault; \"chatelaine vault update %s --access policies\" lets its policies decide\n", o.vault)
	}
	return show(o.remote, v, vaultFields())
}

type vaultDeletePolicyOptions struct {
	remote
	vault, principal, application string
}

func vaultDeletePolicyCommand() *cobra.Command {
	var o vaultDeletePolicyOptions
	c := o.command("delete-policy VAULT PRINCIPAL", "Take a principal's access policy away", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		o.vault, o.principal = args[0], args[1]
		return runVaultDeletePolicy(ctx, o)
	})
	c.Flags().StringVar(&o.application, "application", "", "client id, for a policy that counts only through this program")
	c.ValidArgsFunction = completeNames(&o.remote, aVault)
	return c
}

func runVaultDeletePolicy(ctx context.Context, o vaultDeletePolicyOptions) error {
	id, err := idOf(ctx, o.remote, aPrincipal, o.principal)
	if err != nil {
		id = o.principal // a policy may be for one that is gone
	}
	var v client.Object[vault]
	if err := o.Do(ctx, at("DELETE /vaults/%s/policies/%s", o.vault, id), url.Values{"application": {o.application}}, nil, &v); err != nil {
		return err
	}
	return show(o.remote, v, vaultFields())
}

func vaultNetworkRuleCommand() *cobra.Command {
	c := &cobra.Command{Use: "network-rule", Short: "The addresses that a vault answers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.AddCommand(vaultNetworkRuleListCommand(),
		vaultNetworkRuleChangeCommand("add VAULT ADDRESS...", "Let addresses or networks in", "addIpRules"),
		vaultNetworkRuleChangeCommand("remove VAULT ADDRESS...", "Take rules for addresses or networks away", "removeIpRules"))
	return c
}

func vaultNetworkRuleListCommand() *cobra.Command {
	return onVault("list VAULT", "List the network rules of a vault", runVaultNetworkRuleList)
}

func runVaultNetworkRuleList(ctx context.Context, o vaultOptions) error {
	v, err := get[vault](ctx, o.remote, at("GET /vaults/%s", o.vault))
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(v.Value.Network)
	}
	for _, rule := range v.Value.Network.IPRules {
		fmt.Fprintln(o.Out, rule)
	}
	fmt.Fprintf(o.Err, "other addresses: %s\n", v.Value.Network.DefaultAction)
	return nil
}

type vaultNetworkRuleOptions struct {
	remote
	vault     string
	addresses []string
	field     string
}

func vaultNetworkRuleChangeCommand(use, short, field string) *cobra.Command {
	o := vaultNetworkRuleOptions{field: field}
	c := o.command(use, short, cobra.MinimumNArgs(2), func(ctx context.Context, args []string) error {
		o.vault, o.addresses = args[0], args[1:]
		return runVaultNetworkRuleChange(ctx, o)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aVault)
	return c
}

func runVaultNetworkRuleChange(ctx context.Context, o vaultNetworkRuleOptions) error {
	v, err := send[vault](ctx, o.remote, at("PATCH /vaults/%s", o.vault), map[string]any{"network": map[string]any{o.field: o.addresses}})
	if err != nil {
		return err
	}
	if v.Value.Network.DefaultAction == "Allow" && len(v.Value.Network.IPRules) > 0 {
		fmt.Fprintf(o.Err, "note: other addresses are let in too; \"chatelaine vault update %s --default-action Deny\" shuts them out\n", o.vault)
	}
	return show(o.remote, v, vaultFields())
}
