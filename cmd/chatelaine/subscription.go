package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func subscriptionCommand() *cobra.Command {
	c := group("subscription", "Subscriptions: events that are sent to webhooks", governGroup,
		subscriptionListCommand(), subscriptionShowCommand(), subscriptionCreateCommand(), subscriptionTestCommand(),
		subscriptionDeadLettersCommand(), subscriptionRedeliverCommand(), subscriptionDeleteCommand())
	c.Aliases = []string{"subscriptions"}
	return c
}

// subscription is what the verbs read of one.
type subscription struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Source        string    `json:"source"`
	Types         []string  `json:"types"`
	SubjectPrefix string    `json:"subjectPrefix"`
	SubjectSuffix string    `json:"subjectSuffix"`
	Endpoint      string    `json:"endpoint"`
	Schema        string    `json:"schema"`
	Signed        bool      `json:"signed"`
	State         string    `json:"state"`
	Problem       string    `json:"problem"`
	Created       time.Time `json:"created"`
	Waiting       int       `json:"waiting"`
	Dead          int       `json:"dead"`
}

func (s subscription) wants() string {
	if len(s.Types) == 0 {
		return "everything"
	}
	return strings.Join(s.Types, ", ")
}

func (s subscription) state() string {
	if s.Problem != "" {
		return s.State + ": " + s.Problem
	}
	return s.State
}

func subscriptionColumns() []terminal.Column[subscription] {
	return []terminal.Column[subscription]{
		{Name: "name", Of: func(s subscription) string { return s.Name }},
		{Name: "source", Of: func(s subscription) string { return s.Source }},
		{Name: "types", Of: subscription.wants},
		{Name: "endpoint", Of: func(s subscription) string { return s.Endpoint }},
		{Name: "state", Of: subscription.state},
		{Name: "id", Of: func(s subscription) string { return s.ID }},
	}
}

type subscriptionListOptions struct {
	remote
	listing
}

func subscriptionListCommand() *cobra.Command {
	var o subscriptionListOptions
	c := o.command("list", "List subscriptions", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runSubscriptionList(ctx, o) })
	o.flags(c)
	return c
}

func runSubscriptionList(ctx context.Context, o subscriptionListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /subscriptions", nil, subscriptionColumns())
}

type subscriptionOptions struct {
	remote
	listing
	subscription string
	events       []string
}

// verb is a verb that names one subscription.
func (o *subscriptionOptions) verb(use, short string, run func(ctx context.Context) error) *cobra.Command {
	name, more, many := strings.Cut(use, " ")
	args := cobra.ExactArgs(1)
	if many {
		args, more = cobra.MinimumNArgs(1), " "+more
	}
	c := o.command(name+" SUBSCRIPTION"+more, short, args, func(ctx context.Context, args []string) error {
		id, err := idOf(ctx, o.remote, aSubscription, args[0])
		if err != nil {
			return err
		}
		o.subscription, o.events = id, args[1:]
		return run(ctx)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aSubscription)
	return c
}

func subscriptionShowCommand() *cobra.Command {
	var o subscriptionOptions
	return o.verb("show", "Show a subscription, and how many events wait for it", func(ctx context.Context) error { return runSubscriptionShow(ctx, o) })
}

func runSubscriptionShow(ctx context.Context, o subscriptionOptions) error {
	s, err := get[subscription](ctx, o.remote, at("GET /subscriptions/%s", o.subscription))
	if err != nil {
		return err
	}
	return show(o.remote, s, append(subscriptionColumns(),
		terminal.Column[subscription]{Name: "subjects", Of: func(s subscription) string {
			if s.SubjectPrefix+s.SubjectSuffix == "" {
				return ""
			}
			return s.SubjectPrefix + "…" + s.SubjectSuffix
		}},
		terminal.Column[subscription]{Name: "schema", Of: func(s subscription) string { return s.Schema }},
		terminal.Column[subscription]{Name: "signed", Of: func(s subscription) string { return map[bool]string{true: "yes", false: "no"}[s.Signed] }},
		terminal.Column[subscription]{Name: "waiting", Of: func(s subscription) string { return fmt.Sprint(s.Waiting) }},
		terminal.Column[subscription]{Name: "dead letters", Of: func(s subscription) string { return fmt.Sprint(s.Dead) }}))
}

type subscriptionCreateOptions struct {
	remote
	name, endpoint, source, prefix, suffix, schema, keyEnv string
	types                                                  []string
	sign                                                   bool
}

func subscriptionCreateCommand() *cobra.Command {
	var o subscriptionCreateOptions
	c := o.command("create NAME ENDPOINT", "Have events sent to a webhook that agrees to it", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		o.name, o.endpoint = args[0], args[1]
		return runSubscriptionCreate(ctx, o)
	})
	c.Example = `  chatelaine subscription create rotation https://hooks.example.com/rotate --source /vaults/payroll \
    --type Microsoft.KeyVault.SecretNearExpiry --type Microsoft.KeyVault.SecretExpired --sign
  chatelaine subscription create functions https://app.azurewebsites.net/runtime/webhooks/eventgrid?code=… --schema EventGridSchema`
	f := c.Flags()
	f.StringVar(&o.source, "source", "/", "events of this path and everything below it, such as /vaults/payroll")
	f.StringSliceVar(&o.types, "type", nil, "a type, or its beginning with a * at the end (default: every type)")
	f.StringVar(&o.prefix, "subject-prefix", "", "how the subject, often a name, must begin")
	f.StringVar(&o.suffix, "subject-suffix", "", "how the subject must end")
	f.StringVar(&o.schema, "schema", "CloudEventSchemaV1_0", "CloudEventSchemaV1_0 or EventGridSchema")
	f.BoolVar(&o.sign, "sign", false, "sign what is sent, by a new key that is shown this once")
	f.StringVar(&o.keyEnv, "key-env", "", "sign by the key in this environment variable: whsec_ and base64")
	complete(c, "schema", "CloudEventSchemaV1_0", "EventGridSchema")
	c.MarkFlagsMutuallyExclusive("sign", "key-env")
	return c
}

func runSubscriptionCreate(ctx context.Context, o subscriptionCreateOptions) error {
	draft := map[string]any{"name": o.name, "endpoint": o.endpoint, "source": o.source, "schema": o.schema, "subjectPrefix": o.prefix, "subjectSuffix": o.suffix}
	if len(o.types) > 0 {
		draft["types"] = o.types
	}
	key := ""
	switch {
	case o.sign:
		raw := make([]byte, 32)
		_, _ = rand.Read(raw) // never fails
		key = "whsec_" + base64.StdEncoding.EncodeToString(raw)
	case o.keyEnv != "":
		if key = os.Getenv(o.keyEnv); key == "" {
			return fmt.Errorf("the environment variable %s is empty", o.keyEnv)
		}
	}
	if key != "" {
		draft["key"] = key
	}
	s, err := send[subscription](ctx, o.remote, "POST /subscriptions", draft)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "created subscription %s\n", s.Value.Name)
	if o.sign {
		fmt.Fprintf(o.Err, "what is sent is signed by the key %s\nit is shown this once; give it to the receiver\n", key)
	}
	if err := show(o.remote, s, subscriptionColumns()); err != nil {
		return err
	}
	if s.Value.State != "active" {
		return fmt.Errorf("nothing is sent before the endpoint agrees; mend it, then: chatelaine subscription test %q", s.Value.Name)
	}
	return nil
}

func subscriptionTestCommand() *cobra.Command {
	var o subscriptionOptions
	return o.verb("test", "Ask an endpoint that has not agreed once more, and send it an event", func(ctx context.Context) error { return runSubscriptionTest(ctx, o) })
}

// trial is what came of a test.
type trial struct {
	State   string `json:"state"`
	Answer  string `json:"answer"`
	Problem string `json:"problem"`
}

func runSubscriptionTest(ctx context.Context, o subscriptionOptions) error {
	t, err := send[trial](ctx, o.remote, at("POST /subscriptions/%s/test", o.subscription), nil)
	if err != nil {
		return err
	}
	err = show(o.remote, t, []terminal.Column[trial]{
		{Name: "state", Of: func(t trial) string { return t.State }},
		{Name: "answer", Of: func(t trial) string { return t.Answer }},
		{Name: "problem", Of: func(t trial) string { return t.Problem }},
	})
	if err == nil && t.Value.Problem != "" {
		err = errors.New("the endpoint took no event")
	}
	return err
}

// letter is an event that could not be delivered.
type letter struct {
	Event struct {
		ID      string    `json:"id"`
		Type    string    `json:"type"`
		Subject string    `json:"subject"`
		Time    time.Time `json:"time"`
	} `json:"event"`
	Tries   int       `json:"tries"`
	Died    time.Time `json:"died"`
	Problem string    `json:"problem"`
}

func subscriptionDeadLettersCommand() *cobra.Command {
	var o subscriptionOptions
	c := o.verb("dead-letters", "List events that could not be delivered", func(ctx context.Context) error { return runSubscriptionDeadLetters(ctx, o) })
	o.flags(c)
	return c
}

func runSubscriptionDeadLetters(ctx context.Context, o subscriptionOptions) error {
	return list(ctx, o.remote, o.listing, at("GET /subscriptions/%s/dead-letters", o.subscription), nil, []terminal.Column[letter]{
		{Name: "event", Of: func(l letter) string { return l.Event.ID }},
		{Name: "time", Of: func(l letter) string { return terminal.Moment(l.Event.Time) }},
		{Name: "type", Of: func(l letter) string { return l.Event.Type }},
		{Name: "subject", Of: func(l letter) string { return l.Event.Subject }},
		{Name: "tries", Of: func(l letter) string { return fmt.Sprint(l.Tries) }},
		{Name: "given up", Of: func(l letter) string { return terminal.Moment(l.Died) }},
		{Name: "problem", Of: func(l letter) string { return l.Problem }},
	})
}

func subscriptionRedeliverCommand() *cobra.Command {
	var o subscriptionOptions
	return o.verb("redeliver [EVENT…]", "Send dead letters again: those of some events, or all", func(ctx context.Context) error { return runSubscriptionRedeliver(ctx, o) })
}

func runSubscriptionRedeliver(ctx context.Context, o subscriptionOptions) error {
	total := 0
	for {
		n, err := send[struct {
			Count int `json:"count"`
		}](ctx, o.remote, at("POST /subscriptions/%s/redeliver", o.subscription), map[string]any{"events": append([]string{}, o.events...)})
		if err != nil {
			return err
		}
		total += n.Value.Count
		if n.Value.Count < 1000 || len(o.events) > 0 { // else there may be more
			fmt.Fprintf(o.Out, "%d dead letters are sent again\n", total)
			return nil
		}
	}
}

func subscriptionDeleteCommand() *cobra.Command {
	var o subscriptionOptions
	return o.verb("delete", "Delete a subscription, with what waits for it", func(ctx context.Context) error { return runSubscriptionDelete(ctx, o) })
}

func runSubscriptionDelete(ctx context.Context, o subscriptionOptions) error {
	return o.Do(ctx, at("DELETE /subscriptions/%s", o.subscription), nil, nil, nil)
}
