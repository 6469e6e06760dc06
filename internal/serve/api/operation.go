package api

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"chatelaine.dev/internal/access"
)

// operation describes one route of a noun. The document carries action and scope as
// x-action and x-scope, for whoever assigns roles and for the test that tries each role.
type operation struct {
	id, method, path, summary string

	action access.Action // that the service asks for
	scope  string        // where, with the names of path parameters: /vaults/{vault}
	status int           // of success; 0 is 200
	body   int64         // bytes of a request's body at most; 0 is maxBody
	about  string        // more than the summary can say

	takes, gives string // content type of a body that is no JSON, and of such an answer
}

// as is the same demand on the caller for another route.
func (o operation) as(id, method, path, summary string) operation {
	o.id, o.method, o.path, o.summary = id, method, path, summary
	return o
}

// answering is the operation with another status of success.
func (o operation) answering(status int) operation {
	o.status = status
	return o
}

// register adds an operation whose errors become problems.
func register[I, O any](a *door, tag string, o operation, fn func(ctx context.Context, c access.Caller, in *I) (*O, error)) {
	huma.Register(a.api, huma.Operation{
		RequestBody: o.upload(),
		OperationID: o.id, Method: o.method, Path: Prefix + o.path, Summary: o.summary, Description: o.about, Tags: []string{tag},
		DefaultStatus: o.status, MaxBodyBytes: cmp.Or(o.body, maxBody), Responses: o.problems(a.api),
		Extensions: map[string]any{"x-action": string(o.action), "x-scope": o.scope},
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, caller(ctx), in)
		if err != nil {
			return nil, problemOf(ctx, err)
		}
		return out, nil
	})
}

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// problems are the errors that an operation may answer with.
func (o operation) problems(api huma.API) map[string]*huma.Response {
	statuses := []int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if strings.Contains(o.path, "{") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if o.method != http.MethodGet {
		statuses = append(statuses, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge)
	}
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	responses := map[string]*huma.Response{}
	for _, s := range statuses {
		responses[strconv.Itoa(s)] = &huma.Response{
			Description: http.StatusText(s), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
		}
	}
	if o.gives != "" {
		responses[strconv.Itoa(http.StatusOK)] = &huma.Response{Description: http.StatusText(http.StatusOK), Content: map[string]*huma.MediaType{o.gives: binary()}}
	}
	return responses
}

// upload describes a body that the operation reads by itself.
func (o operation) upload() *huma.RequestBody {
	if o.takes == "" {
		return nil
	}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{o.takes: binary()}}
}

func binary() *huma.MediaType {
	return &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
}

// items is a part of a list. Next goes into the query parameter after; it is empty at the end.
type items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"send it as the parameter after to get the next page"`
}

// page is an answer with a part of a list.
type page[T any] struct{ Body items[T] }

// pageOf makes a page; items is an array even when there are none.
func pageOf[T any](list []T, next string) *page[T] {
	return &page[T]{items[T]{append([]T{}, list...), next}}
}

// Paging are the query parameters of a list. It is exported, as are the other parts of
// inputs, because huma looks into exported embedded types alone.
type Paging struct {
	After string `query:"after" maxLength:"4096" doc:"next of the page before"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"500"`
}

// nextOf is the key of the last item when the page is full: there may be another page.
func (p Paging) nextOf(n int, key func(last int) string) string {
	if n < p.Limit {
		return ""
	}
	return key(n - 1)
}

// cut is the page of a short list that a service returns whole. key is different for each.
func cut[T any](p Paging, list []T, key func(T) string) *page[T] {
	if p.After != "" {
		i := slices.IndexFunc(list, func(x T) bool { return key(x) == p.After })
		list = list[i+1:] // all of it when the last item of the page before is gone
	}
	if len(list) <= p.Limit {
		return pageOf(list, "")
	}
	return pageOf(list[:p.Limit], key(list[p.Limit-1]))
}

// answer is a body alone.
type answer[T any] struct{ Body T }

func answerOf[T any](body T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{body}, nil
}

// nothing is an answer without a body.
type nothing struct{}
