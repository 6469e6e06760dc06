// Package blob puts and gets blobs in a container of Azure Blob Storage, or of whatever
// speaks its REST API, such as Azurite. It knows a container's address and a shared access
// signature, and nothing of the product.
package blob

import (
	"bytes"
	"context"
	"crypto/md5" // #nosec G501 -- Content-MD5 is what the protocol checks a transfer by; it protects nothing here
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"chatelaine.dev/internal/fault"
)

// version is the protocol's (Azure Storage, "Versioning for the Azure Storage services").
const version = "2021-12-02"

const (
	maxURL   = 2048
	maxToken = 4096
)

// Container is a container of blobs. It is safe for concurrent use.
type Container struct {
	base   string // https://account.blob.core.windows.net/container
	token  string
	client *http.Client
}

// New returns the container at an https address, opened by a shared access signature. No
// redirect is followed: the signature is for that address alone.
func New(address, token string, transport http.RoundTripper) (*Container, error) {
	if len(address) > maxURL || len(token) > maxToken {
		return nil, invalid("the address of the container or the SAS token is too long")
	}
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") == "" {
		return nil, invalid("want the address of a container, such as https://account.blob.core.windows.net/container, and the SAS token apart from it")
	}
	if u.Scheme != "https" {
		return nil, invalid("the address of the container must begin with https://")
	}
	token = strings.TrimLeft(strings.TrimSpace(token), "?&")
	if q, err := url.ParseQuery(token); err != nil || q.Get("sig") == "" {
		return nil, invalid("the SAS token has no signature; want one such as sv=…&sp=rcwd&sig=…")
	}
	return &Container{base: u.String(), token: token, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func invalid(text string) error {
	return fault.New(fault.Invalid, "StorageResourceUriNotValid", "The storage container cannot be used: %s.", text)
}

// URL is the address of a blob, or of a folder, without the signature.
func (c *Container) URL(name string) string { return c.base + "/" + name }

// Put writes a blob in one piece.
func (c *Container) Put(ctx context.Context, name string, data []byte) error {
	sum := md5.Sum(data) // #nosec G401 -- see the import
	_, err := c.do(ctx, http.MethodPut, name, data, 0, map[string]string{
		"X-Ms-Blob-Type": "BlockBlob", "Content-Type": "application/octet-stream", "Content-Md5": base64.StdEncoding.EncodeToString(sum[:]),
	})
	return err
}

// Get reads a blob of at most limit bytes. One that is not there is fault.NotFound.
func (c *Container) Get(ctx context.Context, name string, limit int) ([]byte, error) {
	return c.do(ctx, http.MethodGet, name, nil, limit, nil)
}

// Delete removes a blob.
func (c *Container) Delete(ctx context.Context, name string) error {
	_, err := c.do(ctx, http.MethodDelete, name, nil, 0, nil)
	return err
}

func (c *Container) do(ctx context.Context, method, name string, body []byte, limit int, header map[string]string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL(name)+"?"+c.token, bytes.NewReader(body))
	if err != nil {
		return nil, invalid("its address is no URL")
	}
	req.Header.Set("X-Ms-Version", version)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil, fault.Wrap(bare(err), fault.Unavailable, "StorageUnavailable", "The storage container at "+req.URL.Host+" does not answer. Check its address, and that this machine reaches it.")
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 == 2 {
		b, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "StorageUnavailable", "The storage container stopped answering in the middle of a blob.")
		}
		if len(b) > limit {
			return nil, fault.New(fault.Invalid, "BlobTooLarge", "The blob %s has more than %d bytes.", name, limit)
		}
		return b, nil
	}
	return nil, refused(res, method, name)
}

// bare is an error without the URL, in which the signature stands.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refused words what the service said. Its own code is a word such as AuthenticationFailed.
func refused(res *http.Response, method, name string) error {
	code := res.Header.Get("X-Ms-Error-Code")
	if code == "" || len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		code = fmt.Sprintf("Status%d", res.StatusCode)
	}
	switch res.StatusCode {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, code, "The storage container has no blob %s (%s). Check the address of the container and the folder.", name, code)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.New(fault.Denied, code, "The storage container refuses %s (%s). The SAS token must be good now and allow to read, create, write and delete.", method, code)
	}
	kind := fault.Invalid
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
		kind = fault.Unavailable
	}
	return fault.New(kind, code, "The storage container answers %s of %s with %d (%s).", method, name, res.StatusCode, code)
}
