package blob_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chatelaine.dev/internal/blob"
	"chatelaine.dev/internal/blob/blobtest"
	"chatelaine.dev/internal/fault"
)

func transport(s *blobtest.Server) http.RoundTripper {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}}
}

func TestBlobsComeBackAsTheyWent(t *testing.T) {
	s := blobtest.New(t)
	c, err := blob.New(s.URL()+"/", "?"+blobtest.Token, transport(s))
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{0, 1, 2, 255}, 100_000)

	if err := c.Put(t.Context(), "folder/one", data); err != nil {
		t.Fatal(err)
	}

	if got, err := c.Get(t.Context(), "folder/one", len(data)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := c.Get(t.Context(), "folder/one", len(data)-1); !fault.HasCode(err, "BlobTooLarge") {
		t.Errorf("more than was asked for: %v", err)
	}
	if err := c.Delete(t.Context(), "folder/one"); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(t.Context(), "folder/one", 10); !fault.Is(err, fault.NotFound) || !fault.HasCode(err, "BlobNotFound") {
		t.Errorf("after delete: %v", err)
	}
}

func TestRefusalsSayWhatTheServiceSaidAndNotTheSignature(t *testing.T) {
	s := blobtest.New(t)
	wrong := strings.Replace(blobtest.Token, "sig=", "sig=canary", 1)
	c, err := blob.New(s.URL(), wrong, transport(s))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Put(t.Context(), "x", nil)
	if !fault.Is(err, fault.Denied) || !fault.HasCode(err, "AuthenticationFailed") {
		t.Errorf("a wrong signature: %v", err)
	}
	s.Close()
	err = c.Put(t.Context(), "x", nil)
	if !fault.Is(err, fault.Unavailable) || strings.Contains(fmt.Sprint(err, fault.Of(err).Err), "canary") {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(other.Close)
	s := blobtest.New(t)
	from := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(from.Close)
	roots := s.Roots()
	roots.AddCert(from.Certificate())
	roots.AddCert(other.Certificate())
	c, err := blob.New(from.URL+"/c", blobtest.Token, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}

	if err := c.Put(t.Context(), "x", []byte("y")); err == nil || reached {
		t.Errorf("reached %v, %v", reached, err)
	}
}

func TestAddressesThatAreNoContainersAreRefused(t *testing.T) {
	for _, a := range []string{
		"", "https://a.example", "https://a.example/", "http://a.example/c", "ftp://a.example/c", "https://u:p@a.example/c", "https://a.example/c?sig=x", "c", "https:///c",
		"https://a.example/" + strings.Repeat("x", 3000),
	} {
		if _, err := blob.New(a, blobtest.Token, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.60q: %v", a, err)
		}
	}
	for _, token := range []string{"", "sv=1", "sig=", "sig=%zz"} {
		if _, err := blob.New("https://a.example/c", token, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("token %q: %v", token, err)
		}
	}
}
