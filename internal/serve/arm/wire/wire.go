// Package wire is what the operations of the resource manager's front door share: the
// request as an operation sees it, ids of resources, pages, and errors.
package wire

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/web"
)

// Operation is one route. Path has literal segments, which match in any case, and {names};
// a first segment {scope...} stands for any number of them.
type Operation struct {
	Name   string // as in the audit trail, or what it is for
	Method string
	Path   string
	// Open says that the operation needs no token: it tells what every client must know
	// to get one.
	Open   bool
	Handle func(ctx context.Context, q *Request) (Response, error)
}

// Request is a request to the resource manager, authenticated unless its operation is Open.
type Request struct {
	Caller       access.Caller
	Base         string // https://example.com:8443, as the client reached us
	Domain       string // example.com
	Tenant       string
	Subscription string
	Query        url.Values
	Body         []byte
	Params       map[string]string // of the path, by name
}

// Response is what an operation answers. A zero Status is 200; a nil Body is empty.
type Response struct {
	Status   int
	Body     any
	Location string
}

// Decode reads the body as JSON.
func (q *Request) Decode(into any) error {
	if len(q.Body) == 0 {
		return fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid: it is empty; send a JSON object.")
	}
	if err := web.CheckJSON(q.Body); err != nil {
		return fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid and could not be deserialized: it is %s.", err)
	}
	if err := json.Unmarshal(q.Body, into); err != nil {
		return fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
	}
	return nil
}

// SubscriptionOf is the id of the one subscription that an installation is, for those who
// think in subscriptions. It follows from the tenant.
func SubscriptionOf(tenant string) string {
	h := sha256.Sum256([]byte("chatelaine subscription of " + strings.ToLower(tenant)))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // RFC 9562 §5.8: a UUID made in a way of our own
	return uuid.UUID(h[:16]).String()
}

// Root is the id of the subscription.
func (q *Request) Root() string { return "/subscriptions/" + q.Subscription }

// VaultID is the id of a vault, of the type vaults or managedHSMs.
func (q *Request) VaultID(group, typ, name string) string {
	return q.Root() + "/resourceGroups/" + group + "/providers/Microsoft.KeyVault/" + typ + "/" + name
}

// NotFound is the error of a resource that is not where its id says.
func NotFound(typ, name, group string) error {
	return fault.New(fault.NotFound, "ResourceNotFound",
		"The Resource 'Microsoft.KeyVault/%s/%.40s' under resource group '%.90s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", typ, name, group)
}

// List is a page of a list.
type List struct {
	Value    any    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// Page is what part of a list is asked for.
type Page struct {
	After string
	Limit int
}

// maxPage bounds a page, and is its size where nobody asks for another.
const maxPage = 500

// Page reads $top and $skiptoken.
func (q *Request) Page() (Page, error) {
	p := Page{Limit: maxPage}
	if s := q.Query.Get("$top"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return p, fault.New(fault.Invalid, "InvalidTopParameter", "The value of $top must be a number from 1 on.")
		}
		p.Limit = min(n, maxPage)
	}
	if s := q.Query.Get("$skiptoken"); s != "" {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			return p, fault.New(fault.Invalid, "InvalidSkipToken", "The $skiptoken is not one of ours; start again without it.")
		}
		p.After = string(b)
	}
	return p, nil
}

// Next is the link to what follows last on a full page of the list at path.
func (q *Request) Next(path, last string) string {
	next := url.Values{"api-version": {q.Query.Get("api-version")}, "$skiptoken": {base64.RawURLEncoding.EncodeToString([]byte(last))}}
	for _, name := range []string{"$filter", "$top"} {
		if v := q.Query.Get(name); v != "" {
			next.Set(name, v)
		}
	}
	return q.Base + path + "?" + next.Encode()
}

// Filter reads an OData filter of the form "a eq 'x' and b eq 'y'". Names are lower case;
// one that is not among allowed is refused, as its answer would be too much.
func (q *Request) Filter(allowed ...string) (map[string]string, error) {
	found := map[string]string{}
	text := strings.TrimSpace(q.Query.Get("$filter"))
	for text != "" {
		name, rest, ok := strings.Cut(text, " ")
		rest, eq := strings.CutPrefix(strings.TrimLeft(rest, " "), "eq ")
		value, rest, quoted := quotedText(strings.TrimLeft(rest, " "))
		name = strings.ToLower(name)
		if !ok || !eq || !quoted || !contains(allowed, name) {
			return nil, fault.New(fault.Invalid, "InvalidFilterInQueryString", "Invalid $filter '%.200s' specified in the query string. Want %s, each with eq and a text in quotes, joined by and.", text, strings.Join(allowed, ", "))
		}
		found[name] = value
		if text = strings.TrimSpace(rest); text != "" {
			if text, ok = strings.CutPrefix(text, "and "); !ok {
				return nil, fault.New(fault.Invalid, "InvalidFilterInQueryString", "Invalid $filter specified in the query string: parts are joined by and.")
			}
			text = strings.TrimSpace(text)
		}
	}
	return found, nil
}

// quotedText reads a text in single quotes, in which two quotes are one.
func quotedText(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, "'") {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", "", false
}

func contains(list []string, name string) bool {
	for _, x := range list {
		if strings.EqualFold(x, name) {
			return true
		}
	}
	return false
}

// Created is the status of a PUT.
func Created(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// Unsupported says that a value cannot be had here, and what can.
func Unsupported(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadRequest", "%s", fmt.Sprintf(format, args...))
}
