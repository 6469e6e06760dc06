package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/url"
)

// Object is one object as the server sent it, and what T reads of it. Programs that pass
// objects on lose nothing that a newer server knows.
type Object[T any] struct {
	Raw   json.RawMessage
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object[T]) UnmarshalJSON(b []byte) error {
	o.Raw = append(o.Raw[:0], b...)
	return json.Unmarshal(b, &o.Value)
}

// MarshalJSON implements json.Marshaler.
func (o Object[T]) MarshalJSON() ([]byte, error) { return o.Raw, nil }

// Page is a part of a list.
type Page[T any] struct {
	Items []Object[T] `json:"items"`
	Next  string      `json:"next"`
}

// All yields everything that a list operation, such as "GET /vaults", has, page by page.
func All[T any](ctx context.Context, c *Client, route string, query url.Values) iter.Seq2[Object[T], error] {
	return func(yield func(Object[T], error) bool) {
		q := maps.Clone(query)
		if q == nil {
			q = url.Values{}
		}
		for {
			var p Page[T]
			if err := c.Do(ctx, route, q, nil, &p); err != nil {
				yield(Object[T]{}, err)
				return
			}
			for _, o := range p.Items {
				if !yield(o, nil) {
					return
				}
			}
			if p.Next == "" {
				return
			}
			if p.Next == q.Get("after") {
				yield(Object[T]{}, fmt.Errorf("%s: the server gives the same page again", route))
				return
			}
			q.Set("after", p.Next)
		}
	}
}
