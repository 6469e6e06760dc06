// Package lineage keeps the lineages: the lines of certificates that serve one purpose,
// one replacing the other. A lineage is the desired state: names, profile, where the
// certificate is kept and installed, when it is renewed, and who answers for it.
package lineage

import (
	"net"
	"reflect"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/pki/profile"
)

// The actions of this service. The scope is "/" for making and listing, else "/lineages/{id}".
const (
	Read   access.Action = "Chatelaine/lineages/read"
	Write  access.Action = "Chatelaine/lineages/write"
	Delete access.Action = "Chatelaine/lineages/delete"

	// What else a lineage makes use of, and its writer must therefore hold: the connections
	// of its targets at "/connections/{id}", the certificate that it adopts at "/". Whether
	// it may put its certificate into the vault is the vault's to say.
	useConnection    access.Action = "Chatelaine/connections/run"
	adoptCertificate access.Action = "Chatelaine/certificates/write"
)

// Lineage is one line of certificates.
type Lineage struct {
	ID string `json:"id"`
	Wanted
	Targets []Target `json:"targets"`

	Current  Certificate `json:"current"`           // what serves now
	Due      time.Time   `json:"due,omitzero"`      // when the renewal engine looks at it next
	Failures int         `json:"failures"`          // renewals in a row that failed
	Problem  string      `json:"problem,omitempty"` // of the last one that failed
	Created  time.Time   `json:"created"`
	Updated  time.Time   `json:"updated"`
	Revision int64       `json:"revision"` // 1, 2, 3…
}

// Wanted is what people decide about a lineage, besides its targets.
type Wanted struct {
	Name       string           `json:"name"`  // for people; unique without regard to case
	Owner      string           `json:"owner"` // team or person who answers for it
	Profile    string           `json:"profile"`
	Authority  string           `json:"authority,omitempty"` // who issues; empty: the profile's first
	CommonName string           `json:"commonName,omitempty"`
	Names      profile.Names    `json:"names"`
	Key        string           `json:"key"`                // in the words of profiles: "P-256", "RSA 3072"
	Validity   profile.Duration `json:"validity,omitempty"` // zero for the profile's default
	Keep       Keep             `json:"keep"`
	Rule       Rule             `json:"rule"`
	Paused     bool             `json:"paused"` // it does not renew itself
}

// SameWish reports whether the certificate that w asks for is the one that o asks for.
func (w Wanted) SameWish(o Wanted) bool {
	for _, x := range []*Wanted{&w, &o} { // what does not go into the certificate
		x.Name, x.Owner, x.Rule, x.Paused = "", "", Rule{}, false
	}
	return reflect.DeepEqual(w, o)
}

// Keep is the certificate of a vault in which each certificate of the lineage becomes a version.
type Keep struct {
	Vault string `json:"vault"`
	Name  string `json:"name"`
}

// Target is one place where the lineage's certificate is installed.
type Target struct {
	ID         string         `json:"id"` // in the lineage; set by the service when empty
	Connection string         `json:"connection"`
	Place      map[string]any `json:"place"` // settings of the connector's Place
	// Endpoints must serve the certificate once it is installed here. Without any, nobody
	// looks whether it is.
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is a TLS service as it is looked at.
type Endpoint struct {
	Host string `json:"host,omitempty"` // name or address to connect to, when there is no IP
	IP   string `json:"ip,omitempty"`
	Port int    `json:"port"`
	SNI  string `json:"sni,omitempty"` // name to ask for; empty for none
}

// Address is where to connect to.
func (e Endpoint) Address() string {
	host := e.IP
	if host == "" {
		host = e.Host
	}
	return net.JoinHostPort(host, strconv.Itoa(e.Port))
}

// Place is the endpoint in the inventory.
func (e Endpoint) Place() inventory.Place {
	return inventory.Place{Source: inventory.Network, Host: e.Host, IP: e.IP, Port: e.Port, SNI: e.SNI}
}

// Certificate is one certificate of a lineage.
type Certificate struct {
	SHA256    string    `json:"sha256,omitempty"` // empty when there is none yet
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	Version   string    `json:"version,omitempty"` // of Keep; empty when it came from elsewhere
	Request   string    `json:"request,omitempty"` // which made it; empty when it was adopted
}

// Member is a certificate of a lineage with its part in it.
type Member struct {
	Certificate
	Since    time.Time `json:"since"`             // when it became the current one
	Replaced time.Time `json:"replaced,omitzero"` // when the next one did
}

// Succeed makes a certificate the current one.
func (l *Lineage) Succeed(c Certificate, now time.Time) {
	l.Current, l.Failures, l.Problem = c, 0, ""
	l.reschedule()
	l.stamp(now)
}

// Fail notes that a renewal came to nothing, and when to try again.
func (l *Lineage) Fail(problem string, now time.Time) {
	l.Failures++
	l.Problem = problem
	if !l.Due.IsZero() {
		l.Due = Again(now, l.Failures, l.Current.NotAfter)
	}
	l.stamp(now)
}

// Postpone lets the renewal engine look again at a time. It changes nothing for a lineage
// that does not renew itself.
func (l *Lineage) Postpone(until, now time.Time) {
	if !l.Due.IsZero() {
		l.Due = until
	}
	l.stamp(now)
}

// Hasten makes the lineage due at once, because its certificate is worthless.
func (l *Lineage) Hasten(now time.Time) {
	if !l.Paused {
		l.Due = now
	}
	l.stamp(now)
}

func (l *Lineage) stamp(now time.Time) {
	l.Updated = now
	l.Revision++
}

// Path is the lineage in records and events.
func Path(id string) string { return "/lineages/" + id }

// Scope is the lineage as a scope of roles.
func Scope(id string) access.Scope { return access.Scope(Path(id)) }

// PlaceSettings are the target's place as a connector takes it.
func (t Target) PlaceSettings() (connector.Settings, error) { return encode(t.Place) }
