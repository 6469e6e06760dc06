package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Download calls an operation whose answer is a file of any size, such as "GET
// /vaults/a/exports/b/file". The caller reads the file to its end, and closes it; a file
// that is cut off is an error of reading. name is what the server calls it.
func (c *Client) Download(ctx context.Context, route string) (file io.ReadCloser, name string, err error) {
	res, err := c.stream(ctx, route, "", nil)
	if err != nil {
		return nil, "", err
	}
	if _, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition")); err == nil {
		name = params["filename"]
	}
	return res.Body, name, nil
}

// Upload calls an operation whose body is a file of any size, and decodes its answer into
// into, if not nil.
func (c *Client) Upload(ctx context.Context, route, contentType string, file io.Reader, into any) error {
	res, err := c.stream(ctx, route, contentType, file)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.unreached(err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("answer of %s: %w; do client and server have the same version?", route, err)
	}
	return nil
}

// stream sends a request and returns its answer, unless that is an error.
func (c *Client) stream(ctx context.Context, route, contentType string, body io.Reader) (*http.Response, error) {
	token, err := c.token.get(ctx)
	if err != nil {
		return nil, err
	}
	method, path, _ := strings.Cut(route, " ")
	r, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath("api/v1", path).String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("User-Agent", c.agent)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreached(err)
	}
	if res.StatusCode < http.StatusMultipleChoices {
		return res, nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, c.unreached(err)
	}
	return nil, problemOf(res, b)
}
