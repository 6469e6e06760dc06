package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

const (
	latest = 6 // events that the first screen shows
	// maxPolls bounds how often a page asks for news by itself. Each time counts as use of
	// the session, so an open window must not keep one alive for ever.
	maxPolls = 60
)

// justNow is the card of the last events, for the page that asks again.
func (c *Console) justNow(v *visit) error {
	card, err := v.events()
	if err != nil {
		return err
	}
	if card == nil {
		return none("You may not see events.")
	}
	return v.show(http.StatusOK, card.Card())
}

// polls is how often the page has asked for this part already.
func (v *visit) polls() int {
	n, err := strconv.Atoi(v.query("n"))
	if err != nil || n < 0 { // a page that was just loaded
		return 0
	}
	return n
}

// events is the card of the last events; nil for a viewer who may not see them.
func (v *visit) events() (*page.Events, error) {
	if v.c.Events == nil {
		return nil, nil
	}
	list, err := v.c.Events.List(v.ctx(), v.caller, event.Query{Limit: latest}, "")
	if fault.Is(err, fault.Denied) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	card := &page.Events{}
	if n := v.polls() + 1; n < maxPolls {
		card.Again = "/overview/events?n=" + strconv.Itoa(n)
	}
	for _, e := range list.Events {
		text, href := tell(e)
		if !v.c.has(href) {
			href = ""
		}
		card.List = append(card.List, page.Event{At: e.Time, What: view.Moment(v.now, e.Time), Text: text, Href: href})
	}
	return card, nil
}

// facts of an event that its sentence may need.
type eventData struct {
	Name      string          `json:"name"`
	Subject   string          `json:"subject"`
	SHA256    string          `json:"sha256"`
	To        string          `json:"to"`
	Serial    string          `json:"serial"`
	Reason    string          `json:"reason"`
	VaultName string          `json:"VaultName"`
	Place     inventory.Place `json:"place"`
	Lineage   string          `json:"lineage"`
	Request   string          `json:"request"`
}

// tell words an event, and says which page is about it.
func tell(e event.Event) (text, href string) {
	var d eventData
	if len(e.Data) > 0 && json.Unmarshal(e.Data, &d) != nil {
		d = eventData{} // another shape: the words of the type must do
	}
	place := ""
	if d.Place.Source != "" {
		place = " at " + d.Place.String()
	}
	switch e.Type {
	case "Chatelaine.CertificateDiscovered":
		return view.Clean(d.Name + " found" + place), certificatePath(e.Subject)
	case "Chatelaine.InstallationChanged":
		return view.Clean("Another certificate is served" + place), certificatePath(view.Or(d.To, e.Subject))
	case "Chatelaine.CertificateIssued":
		return view.Clean("Issued " + view.Or(commonName(d.Subject), "certificate "+e.Subject)), certificateByHash(d.SHA256)
	case "Chatelaine.CertificateRevoked":
		return view.Clean("Revoked " + view.Or(commonName(d.Subject), "certificate "+e.Subject) + ": " + view.Or(d.Reason, "no reason given")), certificateByHash(d.SHA256)
	}
	text = words(e.Type)
	switch {
	case d.Name != "":
		text += ": " + d.Name
	case !isID(e.Subject):
		text += ": " + e.Subject
	}
	return view.Clean(text), pageOf(e, d)
}

// pageOf is the page of what an event is about, where there is one.
func pageOf(e event.Event, d eventData) string {
	kind, name, _ := strings.Cut(strings.TrimPrefix(e.Source, "/"), "/")
	switch kind {
	case "requests":
		return requestPath(e.Subject)
	case "lineages":
		return lineagePath(e.Subject)
	case "connections":
		return connectionPath(e.Subject)
	case "subscriptions":
		return subscriptionPath(e.Subject)
	case "deployments":
		if d.Request != "" {
			return requestPath(d.Request)
		}
		return lineagePath(d.Lineage)
	case "vaults":
		name, _, _ = strings.Cut(name, "/")
		return vaultPath(name)
	}
	return ""
}

// isID reports whether a subject is an id, which says nothing to a person.
func isID(s string) bool {
	return len(s) >= 32 && strings.Trim(s, "0123456789abcdef-") == ""
}

func certificateByHash(sha256 string) string {
	if sha256 == "" {
		return ""
	}
	return certificatePath(sha256)
}

// words turns a type into words: Chatelaine.VaultCreated becomes Vault created.
func words(kind string) string {
	kind = kind[strings.LastIndexByte(kind, '.')+1:]
	var b strings.Builder
	for i, r := range kind {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

const (
	maxSubscriptions = 200 // that a page shows
	maxLetters       = 50
)

func subscriptionPath(id string) string { return "/subscriptions/" + url.PathEscape(id) }

// subscriptions shows who is sent events.
func (c *Console) subscriptions(v *visit) error {
	list, err := c.Subscriptions.List(v.ctx(), v.caller, "/", v.query("after"), maxSubscriptions)
	if err != nil {
		return err
	}
	p := page.Subscriptions{Lead: view.Plural(len(list), "subscription", "subscriptions")}
	for _, x := range list {
		p.Rows = append(p.Rows, page.SubscriptionRow{
			Name: view.Link{Text: view.Clean(x.Name), Href: subscriptionPath(x.ID)}, Source: view.Clean(x.Source), Types: wanted(x),
			Endpoint: view.Clean(x.Endpoint), State: subscriptionState(x),
		})
	}
	if len(list) == maxSubscriptions {
		p.Pager = v.pager("after", v.query("after"), list[len(list)-1].Name, len(list), 0)
	}
	s := v.shell("Subscriptions", "/subscriptions")
	return v.show(http.StatusOK, p.Show(s))
}

func wanted(x subscription.Subscription) string {
	if len(x.Types) == 0 {
		return "every type"
	}
	return view.Clean(strings.Join(x.Types, ", "))
}

func subscriptionState(x subscription.Subscription) view.Chip {
	switch x.State {
	case subscription.Active:
		return view.Chip{Tone: view.OK, Word: "active"}
	case subscription.Gone:
		return view.Chip{Tone: view.Bad, Word: "gone"}
	}
	return view.Chip{Tone: view.Bad, Word: "has not agreed"}
}

// subscription shows one, with what it could not be sent.
func (c *Console) subscription(v *visit) error {
	x, err := c.Subscriptions.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	dead, err := c.Subscriptions.DeadLetters(v.ctx(), v.caller, x.ID, "", maxLetters)
	if err != nil {
		return err
	}
	p := page.Subscription{
		Name: view.Clean(x.Name), State: subscriptionState(x), Problem: view.Clean(x.Problem), Test: subscriptionPath(x.ID) + "/test",
		Props: []page.Prop{
			{Name: "Endpoint", Text: view.Clean(x.Endpoint), Mono: true}, {Name: "Source", Text: view.Clean(x.Source), Mono: true}, {Name: "Types", Text: wanted(x)},
			{Name: "Schema", Text: string(x.Schema)}, {Name: "Signed", Text: map[bool]string{true: "yes", false: "no"}[x.Signed]},
			{Name: "Waiting", Text: view.Plural(x.Waiting, "event", "events")}, {Name: "Made", Text: view.Minute(x.Created)},
		},
	}
	for _, l := range dead.Letters {
		p.Letters = append(p.Letters, page.Letter{
			At: l.Died, Died: view.Relative(v.now, l.Died), Event: view.Clean(words(l.Event.Type) + ": " + l.Event.Subject),
			Tries: strconv.Itoa(l.Tries), Problem: view.Clean(l.Problem),
		})
	}
	if more := x.Dead - len(dead.Letters); more > 0 {
		p.More = view.Plural(more, "more is", "more are") + " not shown."
	}
	if x.Dead > 0 && x.State == subscription.Active {
		p.Again = subscriptionPath(x.ID) + "/redeliver"
	}
	s := v.shell(p.Name, "/subscriptions")
	return v.show(http.StatusOK, p.Show(s))
}

// testSubscription asks the endpoint, and shows what came of it.
func (c *Console) testSubscription(v *visit) error {
	id := v.r.PathValue("id")
	t, err := c.Subscriptions.Test(v.ctx(), v.caller, id)
	if err != nil {
		return err
	}
	did := "event-taken"
	if t.Problem != "" {
		did = "event-refused"
	}
	return v.goTo(subscriptionPath(id) + "?did=" + did)
}

// redeliver sends the dead letters of a subscription again.
func (c *Console) redeliver(v *visit) error {
	id := v.r.PathValue("id")
	if _, err := c.Subscriptions.Redeliver(v.ctx(), v.caller, id, nil); err != nil {
		return err
	}
	return v.goTo(subscriptionPath(id) + "?did=redelivered")
}
