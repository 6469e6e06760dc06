package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
)

// Network is the source of what was seen by a handshake. Every other source is the id of
// a connection.
const Network = "network"

// Place is where one certificate at a time can be: a TLS service (Host, IP, Port, SNI) or
// an object of a store (Path).
type Place struct {
	Source string `json:"source"`
	Host   string `json:"host,omitempty"` // name as it was asked for; empty when only an address was given
	IP     string `json:"ip,omitempty"`
	Port   int    `json:"port,omitempty"`
	SNI    string `json:"sni,omitempty"`
	Path   string `json:"path,omitempty"` // stable and unique in the source: URL, ARN, file
}

// ID is the same for the same place, always.
func (p Place) ID() string {
	h := sha256.New()
	for _, s := range []string{p.Source, strings.ToLower(p.Host), p.IP, strconv.Itoa(p.Port), strings.ToLower(p.SNI), p.Path} {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s)) // lengths keep two places from being spelled alike
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// String is the place for people.
func (p Place) String() string {
	if p.Path != "" {
		return p.Path
	}
	host := p.Host
	if host == "" {
		host = p.IP
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(p.Port)
}

// State is what is known about a certificate at a place. A host that does not answer
// says nothing about its certificate, so unreachable is never missing.
type State string

// The states.
const (
	Present     State = "present"     // it was there when we last looked
	Changed     State = "changed"     // another certificate took its place
	Missing     State = "missing"     // we looked, and nothing is there
	Unreachable State = "unreachable" // we could not look
)

// TLS is what a handshake showed beside the certificates.
type TLS struct {
	Version    string   `json:"version,omitempty"`    // negotiated, such as "TLS 1.3"
	Cipher     string   `json:"cipher,omitempty"`     // IANA name
	Group      string   `json:"group,omitempty"`      // of the key exchange, such as X25519MLKEM768
	Versions   []string `json:"versions,omitempty"`   // all that the service accepts, if it was asked
	ClientAuth bool     `json:"clientAuth,omitempty"` // it asks for a client certificate
	Incomplete bool     `json:"incomplete,omitempty"` // the chain ended in the middle
}

// Object is what a store tells beside the certificate.
type Object struct {
	Name    string            `json:"name,omitempty"`
	Version string            `json:"version,omitempty"`
	Enabled bool              `json:"enabled"`
	Key     string            `json:"key,omitempty"` // where the private key lives, in the store's words
	Labels  map[string]string `json:"labels,omitempty"`
}

// nowhere reports that the certificate is known to exist, but not to be anywhere: a CA
// has issued it, a log lists it.
func (p Place) nowhere() bool { return p.Path == "" && p.Port == 0 }

// Observation is one look at one place. One that is Present at a place with neither
// path nor port makes a certificate known without an installation.
type Observation struct {
	Place Place
	State State    // Present, Missing or Unreachable
	DER   []byte   // of Present
	Chain [][]byte // what came with it, the issuer first
	// SignerKey is the SHA-256 (hex) of the SubjectPublicKeyInfo whose signature under DER
	// the observer has checked, as an authority does when it signs. Empty: nobody has.
	SignerKey string
	At        time.Time // now when zero
	Campaign  string    // id of the campaign, if any
	Run       string    // id of the run, if any
	TLS       *TLS
	Object    *Object
	Problem   string // why it is not Present, for people
}

const (
	maxObservations = 1000 // of one Record
	maxChain        = 32   // certificates of one chain that are kept
	maxLabels       = 64
)

func (o *Observation) check() error {
	switch {
	case o.Place.Source == "":
		return fault.New(fault.Invalid, "InvalidObservation", "an observation needs a source")
	case o.Place.nowhere() && o.State != Present:
		return fault.New(fault.Invalid, "InvalidObservation", "an observation needs a path or a port")
	case o.State == Present && len(o.DER) == 0:
		return fault.New(fault.Invalid, "InvalidObservation", "a certificate that is present needs its content")
	case o.State != Present && o.State != Missing && o.State != Unreachable:
		return fault.New(fault.Invalid, "InvalidObservation", "an observation is present, missing or unreachable, not %q", o.State)
	}
	return nil
}

// normalise brings texts of strangers into a form that may be stored.
func (o *Observation) normalise(now time.Time) {
	p := &o.Place
	p.Host, p.SNI = strings.ToLower(clean(p.Host)), strings.ToLower(clean(p.SNI))
	p.Path = clean(p.Path)
	o.Problem = clean(o.Problem)
	if o.At.IsZero() {
		o.At = now
	}
	if len(o.Chain) > maxChain {
		o.Chain = o.Chain[:maxChain]
	}
	if o.Object != nil {
		object := Object{Name: clean(o.Object.Name), Version: clean(o.Object.Version), Enabled: o.Object.Enabled, Key: clean(o.Object.Key)}
		for k, v := range o.Object.Labels {
			if object.Labels == nil {
				object.Labels = map[string]string{}
			}
			if len(object.Labels) < maxLabels {
				object.Labels[clean(k)] = clean(v)
			}
		}
		o.Object = &object
	}
}

// Installation is one certificate at one place.
type Installation struct {
	ID     string `json:"id"` // of the place
	SHA256 string `json:"sha256"`
	Place
	State     State     `json:"state"`
	Current   bool      `json:"current"`   // it is the latest certificate known at this place
	FirstSeen time.Time `json:"firstSeen"` // of this certificate here
	LastSeen  time.Time `json:"lastSeen"`
	Checked   time.Time `json:"checked"` // when we last looked, successfully or not
	Problem   string    `json:"problem,omitempty"`
	Campaign  string    `json:"campaign,omitempty"` // of the last look
	Run       string    `json:"run,omitempty"`
	TLS       *TLS      `json:"tls,omitempty"`
	Object    *Object   `json:"object,omitempty"`
	Chain     []string  `json:"chain,omitempty"` // fingerprints of what was served with it, the issuer first
}

// Change is one line of a place's history: from At on, the certificate was in State there.
type Change struct {
	ID     string    `json:"id"` // of the place
	At     time.Time `json:"at"`
	SHA256 string    `json:"sha256"`
	State  State     `json:"state"`
	Run    string    `json:"run,omitempty"`
	Place
}
