// Package wire is what the operations of the Key Vault front door share: the request as
// an operation sees it, the JSON shapes that all kinds have, and ids and pages.
package wire

import (
	"context"
	"encoding/base64"
	"encoding/json/v2"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Operation is one route of the contract (§1). Path has literal segments, which match
// in any case, {name}, and {version?}, which may be missing.
type Operation struct {
	Name   string // as in the audit trail: SecretSet
	Method string
	Path   string
	Handle func(ctx context.Context, q *Request) (Response, error)
	// MaxBody bounds the request's body, in bytes; 0 is DefaultBody.
	MaxBody int64
}

// The bounds of a body.
const (
	DefaultBody = 2 << 20  // a PFX of one MiB in base64, and its JSON
	SecretBody  = 8 << 20  // the largest secret that can be configured, each character escaped, and its tags
	RestoreBody = 46 << 20 // the largest backup in base64
)

// Request is an authenticated request to one vault.
type Request struct {
	Caller  access.Caller
	Vault   string
	Base    string // https://payroll.example.com:8443
	Name    string
	Version string
	Query   Query
	Body    []byte
}

// Query is the query of a request, as it was sent. Most requests have one parameter, so it
// is searched rather than made a map of.
type Query string

// Get returns the first value of a parameter, or "". Names may be percent-encoded too
// (contract §2.1.1).
func (q Query) Get(name string) string {
	for pair := range strings.SplitSeq(string(q), "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key != name {
			if k, err := url.QueryUnescape(key); err != nil || k != name {
				continue
			}
		}
		if v, err := url.QueryUnescape(value); err == nil && !strings.Contains(pair, ";") {
			return v
		}
	}
	return ""
}

// Response is what an operation answers. A zero Status is 200; a nil Body is empty.
type Response struct {
	Status   int
	Body     any
	Location string // header, and Retry-After with it
	// Operation is the header Azure-AsyncOperation: where to ask how far it is.
	Operation  string
	RetryAfter int // seconds until it is worth asking; 0 for no such header
}

// Ref is the object that the path names.
func (q *Request) Ref() object.Ref {
	return object.Ref{Vault: q.Vault, Name: q.Name, Version: q.Version}
}

// Decode reads the body as JSON into a struct. It refuses what two parsers could read
// in two ways: duplicate names, trailing bytes, and nesting deeper than 32.
func (q *Request) Decode(into any) error {
	if len(q.Body) == 0 {
		return fault.New(fault.Invalid, "BadParameter", "The request body is missing; send a JSON object.")
	}
	if err := tooDeep(q.Body); err != nil {
		return fault.New(fault.Invalid, "BadParameter", "The request body is not valid JSON: %s.", err)
	}
	err := json.Unmarshal(q.Body, into, json.MatchCaseInsensitiveNames(true)) // else strict: UTF-8, one value, no name twice
	var form *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &form):
		return fault.New(fault.Invalid, "BadParameter", "The request body does not have the right shape: %s.", shape(form))
	default:
		return fault.New(fault.Invalid, "BadParameter", "The request body is not valid JSON: %s.", syntax(err))
	}
}

// ID is the id of an object, or of a version of it.
func (q *Request) ID(k object.Kind, name, version string) string {
	id := q.Base + "/" + string(k) + "/" + name
	if version != "" {
		id += "/" + version
	}
	return id
}

const maxPage = 25

// skip is the content of a $skiptoken.
type skip struct {
	NextMarker     string
	TargetLocation int
}

// Page reads maxresults and $skiptoken.
func (q *Request) Page() (object.Page, error) {
	p := object.Page{Limit: maxPage}
	if s := q.Query.Get("maxresults"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return p, fault.New(fault.Invalid, "BadParameter", "maxresults must be a number from 1 to %d.", maxPage)
		}
		p.Limit = n
	}
	if s := q.Query.Get("$skiptoken"); s != "" {
		var t skip
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
		if err != nil || json.Unmarshal(raw, &t) != nil {
			return p, fault.New(fault.Invalid, "BadParameter", "The $skiptoken is not one of ours; start again without it.")
		}
		p.After = t.NextMarker
	}
	return p, nil
}

// List is a page of a list.
type List[T any] struct {
	Value    []T     `json:"value"`
	NextLink *string `json:"nextLink"`
}

// Listed answers a page of a listing, each entry as item makes it, or passes err on.
// path is that of the request, such as /secrets.
func Listed[T any](q *Request, path string, l object.Listing, err error, item func(object.Entry) (T, error)) (Response, error) {
	if err != nil {
		return Response{}, err
	}
	out := List[T]{Value: make([]T, 0, len(l.Entries))}
	for _, e := range l.Entries {
		x, err := item(e)
		if err != nil {
			return Response{}, err
		}
		out.Value = append(out.Value, x)
	}
	out.NextLink, err = q.Next(path, l.Next)
	return Response{Body: out}, err
}

// Next is the address of the page after a marker, or nil where there is none.
func (q *Request) Next(path, marker string) (*string, error) {
	if marker == "" {
		return nil, nil
	}
	t, err := json.Marshal(skip{NextMarker: marker})
	if err != nil {
		return nil, err
	}
	next := url.Values{"api-version": {q.Query.Get("api-version")}, "$skiptoken": {base64.RawURLEncoding.EncodeToString(t)}}
	if m := q.Query.Get("maxresults"); m != "" {
		next.Set("maxresults", m)
	}
	link := q.Base + path + "?" + next.Encode()
	return &link, nil
}
