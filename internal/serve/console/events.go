package console

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"chatelaine.dev/internal/event"
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
