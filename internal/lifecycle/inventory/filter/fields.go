package filter

import (
	"slices"
	"strings"
)

// Field is a column of the language.
type Field string

// The fields.
const (
	Name       Field = "name"
	Subject    Field = "subject"
	Issuer     Field = "issuer"
	SAN        Field = "san"
	Serial     Field = "serial"
	SHA256     Field = "sha256"
	SPKI       Field = "spki"
	Key        Field = "key"
	Curve      Field = "curve"
	KeySize    Field = "keysize"
	Signature  Field = "signature"
	KeyUsage   Field = "usage"
	Expires    Field = "expires"
	Issued     Field = "issued"
	Lifetime   Field = "lifetime"
	Grade      Field = "grade"
	Finding    Field = "finding"
	Revoked    Field = "revoked"
	SelfSigned Field = "selfsigned"
	Wildcard   Field = "wildcard"
	CA         Field = "ca"
	Trust      Field = "trust"
	Parser     Field = "parser"
	Source     Field = "source"
	Campaign   Field = "campaign"
	Host       Field = "host"
	IP         Field = "ip"
	Port       Field = "port"
	State      Field = "state"
	Status     Field = "status"
	Stage      Field = "stage"
	Owner      Field = "owner"
	Lineage    Field = "lineage"
	FirstSeen  Field = "firstseen"
	LastSeen   Field = "lastseen"
)

type kind int

const (
	text kind = iota
	hexText
	enum
	integer
	period
	instant
	boolean
	score
)

// definition describes a field to the parser and to people.
type definition struct {
	Field   Field
	kind    kind
	options []string
	Help    string
}

// definitions are all fields, in the order in which help shows them.
func definitions() []definition {
	return []definition{
		{Name, text, nil, "first DNS name, else common name"},
		{SAN, text, nil, "any subject alternative name"},
		{Subject, text, nil, "subject, as RFC 4514 writes it"},
		{Issuer, text, nil, "issuer, as RFC 4514 writes it"},
		{Serial, hexText, nil, "serial number, hex"},
		{SHA256, hexText, nil, "fingerprint of the certificate"},
		{SPKI, hexText, nil, "fingerprint of the public key: equal where a key is shared"},
		{Key, text, nil, "algorithm of the key: RSA, EC, Ed25519…"},
		{Curve, text, nil, "curve of an EC key: P-256…"},
		{KeySize, integer, nil, "bits of the key"},
		{Signature, text, nil, "signature algorithm: SHA256-RSA…"},
		{KeyUsage, text, nil, "extended key usage: serverAuth, clientAuth… or an OID"},
		{Expires, instant, nil, "end of validity"},
		{Issued, instant, nil, "start of validity"},
		{Lifetime, period, nil, "length of validity"},
		{Grade, score, nil, "0 to 100, or a letter A, B, C, D, F"},
		{Finding, text, nil, "a rule that it fails: expired, weak-key…"},
		{Status, enum, []string{"valid", "expiring", "expired", "revoked", "pending", "unknown"}, "where it is in its life"},
		{Stage, enum, []string{"discovered", "monitored", "managed"}, "how far Chatelaine looks after it"},
		{Revoked, boolean, nil, "was revoked"},
		{SelfSigned, boolean, nil, "signed by its own key"},
		{Wildcard, boolean, nil, "has a wildcard name"},
		{CA, boolean, nil, "may issue certificates"},
		{Trust, enum, []string{"public", "private", "self-signed", "unknown"}, "whose root it descends from"},
		{Parser, enum, []string{"standard", "lenient", "raw"}, "strictest parser that reads it"},
		{Source, text, nil, "where it was found: network, or a connection"},
		{Campaign, text, nil, "campaign that found it"},
		{Host, text, nil, "host where it is installed"},
		{IP, text, nil, "address where it is installed"},
		{Port, integer, nil, "port where it is served"},
		{State, enum, []string{"present", "changed", "missing", "unreachable"}, "of an installation"},
		{Owner, text, nil, "who answers for it"},
		{Lineage, text, nil, "line of certificates that it belongs to"},
		{FirstSeen, instant, nil, "first sighting"},
		{LastSeen, instant, nil, "last sighting"},
	}
}

// Help describes one field for people.
type Help struct {
	Field   Field    `json:"field"`
	Help    string   `json:"help"`
	Options []string `json:"options,omitempty"`
	Ordered bool     `json:"ordered"` // takes < and >
}

// Fields describes the language's fields, for completion and documentation.
func Fields() []Help {
	var hs []Help
	for _, d := range definitions() {
		hs = append(hs, Help{d.Field, d.Help, d.options, d.ordered()})
	}
	return hs
}

func (d definition) ordered() bool {
	return d.kind == integer || d.kind == period || d.kind == instant || d.kind == score
}

func (d definition) contains() bool { return d.kind == text || d.kind == hexText }

func lookup(name string) (definition, bool) {
	name = strings.ToLower(name)
	all := definitions()
	i := slices.IndexFunc(all, func(d definition) bool { return string(d.Field) == name })
	if i < 0 {
		return definition{}, false
	}
	return all[i], true
}

// nearest suggests a field for a mistyped one, or nothing.
func nearest(name string) string {
	best, distance := "", 3
	for _, d := range definitions() {
		if n := edits(strings.ToLower(name), string(d.Field)); n < distance {
			best, distance = string(d.Field), n
		}
	}
	return best
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
