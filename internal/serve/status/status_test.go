package status_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/pkitest"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/serve/status"
	"chatelaine.dev/internal/storage/storagetest"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// door is the handler in front of the real services.
type door struct {
	http.Handler
	*pkitest.Floor
	t *testing.T
}

func newDoor(t *testing.T) *door {
	t.Helper()
	f := pkitest.New(t, storagetest.SQLite(t), pkitest.Config{Now: noon})
	return &door{t: t, Floor: f, Handler: status.New(status.Config{CRLs: f.Revocation, Authorities: f.Authorities, OCSP: f.OCSP, Now: f.Clock, Log: f.Log()})}
}

func (d *door) do(method, path string, header ...string) (*http.Response, []byte) {
	d.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return w.Result(), body
}

func TestAnyoneGetsTheCRLAndTheCertificate(t *testing.T) {
	d := newDoor(t)
	d.Rebuild(t)

	res, body := d.do("GET", "/crl/root.crl")
	if list, err := x509.ParseRevocationList(body); err != nil || list.Number.Int64() != noon.Unix() {
		t.Errorf("%s: %v", res.Status, err)
	}
	if res.Header.Get("Content-Type") != "application/pkix-crl" || res.Header.Get("Cache-Control") != "public, no-transform, max-age=50" || res.Header.Get("Last-Modified") != "Tue, 01 Sep 2026 12:00:00 GMT" {
		t.Errorf("%v", res.Header)
	}
	for _, path := range []string{"/crl/root/.crl", "/crl/root/0.crl", "/crl/root/01.crl", "/crl/root/1.crl", "/crl/root/-1.crl"} { // a list has one address
		if res, _ := d.do("GET", path); res.StatusCode != 404 {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	head, none := d.do("HEAD", "/crl/root.crl")
	if head.StatusCode != 200 || len(none) != 0 || head.ContentLength != int64(len(body)) {
		t.Errorf("HEAD: %s, %d bytes, length %d", head.Status, len(none), head.ContentLength)
	}
	res, body = d.do("GET", "/ca/root.cer")
	root, err := d.Authorities.Get(t.Context(), access.System("test"), "root")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(body, root.Certificate) || res.Header.Get("Content-Type") != "application/pkix-cert" || res.Header.Get("Cache-Control") != "public, no-transform, max-age=86400" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
}

func TestACacheIsToldWhenTheListChanged(t *testing.T) {
	d := newDoor(t)
	d.Rebuild(t)
	res, _ := d.do("GET", "/crl/root.crl")
	tag := res.Header.Get("ETag")

	if res, body := d.do("GET", "/crl/root.crl", "If-None-Match", tag); res.StatusCode != 304 || len(body) != 0 {
		t.Errorf("unchanged: %s", res.Status)
	}
	d.Set(noon.Add(25 * time.Hour))
	d.Rebuild(t)
	if res, _ := d.do("GET", "/crl/root.crl", "If-None-Match", tag); res.StatusCode != 200 || res.Header.Get("ETag") == tag {
		t.Errorf("changed: %s", res.Status)
	}
	for left, want := range map[time.Duration]string{30 * time.Second: "max-age=30", 0: "max-age=0", -time.Hour: "max-age=0"} {
		d.Set(noon.Add(25*time.Hour + 7*24*time.Hour - left))
		if res, _ := d.do("GET", "/crl/root.crl"); !strings.HasSuffix(res.Header.Get("Cache-Control"), want) {
			t.Errorf("%s before nextUpdate: %s", left, res.Header.Get("Cache-Control"))
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	d := newDoor(t) // root has no CRL yet
	for _, path := range []string{"/crl/root.crl", "/crl/absent.crl", "/crl/root", "/crl/root.cer", "/crl/.crl", "/crl/", "/ca/absent.cer", "/ca/root.crl", "/ca/root.key", "/ca/..%2froot.cer", "/ca/ROOT.cer", "/ca/root.cer/", "/", "/crl/a/b.crl"} {
		if res, body := d.do("GET", path); res.StatusCode != 404 || bytes.Contains(body, []byte("BEGIN")) {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if res, _ := d.do(method, "/ca/root.cer"); res.StatusCode != 405 {
			t.Errorf("%s: %s", method, res.Status)
		}
	}
	if d.Logged() != "" {
		t.Errorf("logged: %s", d.Logged())
	}
}

// away is a service whose database is away.
type away struct{ err error }

func (a away) Current(context.Context, string, string) (revocation.CRL, error) {
	return revocation.CRL{}, a.err
}
func (a away) Certificate(context.Context, string) ([]byte, error) { return nil, a.err }

func TestErrorsTellTheCallerLittleAndTheLogEverything(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{{errors.New("disk 7 is on fire"), 500}, {fault.Wrap(errors.New("disk 7 is on fire"), fault.Unavailable, "Away", "try later"), 503}} {
		var log bytes.Buffer
		d := &door{t: t, Handler: status.New(status.Config{CRLs: away{c.err}, Authorities: away{c.err}, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})}
		for _, path := range []string{"/crl/root.crl", "/ca/root.cer"} {
			res, body := d.do("GET", path)
			if res.StatusCode != c.code || bytes.Contains(body, []byte("fire")) || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %s %s", path, res.Status, body)
			}
		}
		if strings.Count(log.String(), "fire") != 2 {
			t.Errorf("log: %s", &log)
		}
	}
}
