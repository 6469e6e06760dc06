package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func acmeCommand() *cobra.Command {
	return group("acme", "ACME: keys that make accounts, accounts, and when clients renew", governGroup,
		group("key", "External account keys: who may make ACME accounts", "", acmeKeyListCommand(), acmeKeyCreateCommand(), acmeKeyRevokeCommand()),
		group("account", "ACME accounts", "", acmeAccountListCommand(), acmeAccountDeactivateCommand()),
		group("window", "Windows in which ACME clients are told to renew", "", acmeWindowListCommand(), acmeWindowCreateCommand(), acmeWindowDeleteCommand()))
}

// acmeKey is what the verbs read of an external account key.
type acmeKey struct {
	ID      string    `json:"id"`
	Profile string    `json:"profile"`
	Owner   string    `json:"owner"`
	Comment string    `json:"comment"`
	Many    bool      `json:"many"`
	Expires time.Time `json:"expires"`
	Account string    `json:"account"`
	Used    time.Time `json:"used"`
	Revoked time.Time `json:"revoked"`
	Secret  string    `json:"secret"`
}

func (k acmeKey) state() string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked " + terminal.Moment(k.Revoked)
	case !k.Used.IsZero() && !k.Many:
		return "used " + terminal.Moment(k.Used)
	case !k.Expires.IsZero():
		return "until " + terminal.Moment(k.Expires)
	}
	return "good"
}

func acmeKeyColumns() []terminal.Column[acmeKey] {
	return []terminal.Column[acmeKey]{
		{Name: "id", Of: func(k acmeKey) string { return k.ID }},
		{Name: "profile", Of: func(k acmeKey) string { return k.Profile }},
		{Name: "owner", Of: func(k acmeKey) string { return k.Owner }},
		{Name: "accounts", Of: func(k acmeKey) string { return map[bool]string{true: "many", false: "one"}[k.Many] }},
		{Name: "state", Of: acmeKey.state},
		{Name: "comment", Of: func(k acmeKey) string { return k.Comment }},
	}
}

type acmeKeyOptions struct {
	remote
	listing
	key, profile, owner, comment string
	many                         bool
	expires                      time.Duration
}

func acmeKeyListCommand() *cobra.Command {
	var o acmeKeyOptions
	c := o.command("list", "List external account keys", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runACMEKeyList(ctx, o) })
	o.flags(c)
	c.Flags().StringVar(&o.profile, "profile", "", "those of one profile")
	completeFlag(c, &o.remote, "profile", aProfile)
	return c
}

func runACMEKeyList(ctx context.Context, o acmeKeyOptions) error {
	return list(ctx, o.remote, o.listing, "GET /acme/keys", url.Values{"profile": {o.profile}}, acmeKeyColumns())
}

func acmeKeyCreateCommand() *cobra.Command {
	var o acmeKeyOptions
	c := o.command("create PROFILE OWNER", "Make a key that lets somebody make an ACME account", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		o.profile, o.owner = args[0], args[1]
		return runACMEKeyCreate(ctx, o)
	})
	c.Example = `  chatelaine acme key create tls-server shop
  certbot register --server https://vault.example.com/acme/tls-server/directory --eab-kid ID --eab-hmac-key SECRET`
	f := c.Flags()
	f.BoolVar(&o.many, "many", false, "for any number of accounts, such as those of a cluster")
	f.StringVar(&o.comment, "comment", "", "what it is for")
	f.DurationVar(&o.expires, "expires-in", 0, "how long it is good for, such as 72h (default: for ever)")
	c.ValidArgsFunction = completeNames(&o.remote, aProfile)
	return c
}

func runACMEKeyCreate(ctx context.Context, o acmeKeyOptions) error {
	draft := map[string]any{"profile": o.profile, "owner": o.owner, "comment": o.comment, "many": o.many}
	if o.expires > 0 {
		draft["expires"] = time.Now().Add(o.expires).UTC()
	}
	k, err := send[acmeKey](ctx, o.remote, "POST /acme/keys", draft)
	if err != nil {
		return err
	}
	fmt.Fprintln(o.Err, "the secret is shown this once; give it, with the id, to whoever makes the account")
	return show(o.remote, k, append(acmeKeyColumns(), terminal.Column[acmeKey]{Name: "secret", Of: func(k acmeKey) string { return k.Secret }}))
}

func acmeKeyRevokeCommand() *cobra.Command {
	var o acmeKeyOptions
	return o.command("revoke KEY", "Revoke a key: it makes no account any more", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.key = args[0]
		return runACMEKeyRevoke(ctx, o)
	})
}

func runACMEKeyRevoke(ctx context.Context, o acmeKeyOptions) error {
	k, err := send[acmeKey](ctx, o.remote, at("POST /acme/keys/%s/revoke", o.key), nil)
	if err != nil {
		return err
	}
	return show(o.remote, k, acmeKeyColumns())
}

// acmeAccount is what the verbs read of an account.
type acmeAccount struct {
	ID       string    `json:"id"`
	Profile  string    `json:"profile"`
	Status   string    `json:"status"`
	Contacts []string  `json:"contacts"`
	Owner    string    `json:"owner"`
	Key      string    `json:"externalKey"`
	Created  time.Time `json:"created"`
}

func acmeAccountColumns() []terminal.Column[acmeAccount] {
	return []terminal.Column[acmeAccount]{
		{Name: "id", Of: func(a acmeAccount) string { return a.ID }},
		{Name: "profile", Of: func(a acmeAccount) string { return a.Profile }},
		{Name: "status", Of: func(a acmeAccount) string { return a.Status }},
		{Name: "owner", Of: func(a acmeAccount) string { return a.Owner }},
		{Name: "contacts", Of: func(a acmeAccount) string { return fmt.Sprint(a.Contacts) }},
		{Name: "key", Of: func(a acmeAccount) string { return a.Key }},
		{Name: "created", Of: func(a acmeAccount) string { return terminal.Moment(a.Created) }},
	}
}

type acmeAccountOptions struct {
	remote
	listing
	account, profile, key string
}

func acmeAccountListCommand() *cobra.Command {
	var o acmeAccountOptions
	c := o.command("list", "List ACME accounts", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runACMEAccountList(ctx, o) })
	o.flags(c)
	c.Flags().StringVar(&o.profile, "profile", "", "those of one profile")
	c.Flags().StringVar(&o.key, "key", "", "those that an external account key made")
	completeFlag(c, &o.remote, "profile", aProfile)
	return c
}

func runACMEAccountList(ctx context.Context, o acmeAccountOptions) error {
	return list(ctx, o.remote, o.listing, "GET /acme/accounts", url.Values{"profile": {o.profile}, "key": {o.key}}, acmeAccountColumns())
}

func acmeAccountDeactivateCommand() *cobra.Command {
	var o acmeAccountOptions
	return o.command("deactivate ACCOUNT", "Deactivate an account for good", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.account = args[0]
		return runACMEAccountDeactivate(ctx, o)
	})
}

func runACMEAccountDeactivate(ctx context.Context, o acmeAccountOptions) error {
	a, err := send[acmeAccount](ctx, o.remote, at("POST /acme/accounts/%s/deactivate", o.account), nil)
	if err != nil {
		return err
	}
	return show(o.remote, a, acmeAccountColumns())
}
