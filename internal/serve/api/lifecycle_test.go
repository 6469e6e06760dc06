package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// service is a TLS service that reads its certificate from files at every handshake, as
// an nginx does that is reloaded all the time.
type service struct {
	folder string
	port   int
}

func (s service) fullchain() string { return filepath.Join(s.folder, "shop.pem") }
func (s service) key() string       { return filepath.Join(s.folder, "shop.key") }

// startService begins with a self-signed certificate that is valid for ten years.
func startService(t *testing.T) service {
	t.Helper()
	s := service{folder: t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(42), Subject: pkix.Name{CommonName: "shop.example.com"}, DNSNames: []string{"shop.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{s.fullchain(): {Type: "CERTIFICATE", Bytes: der}, s.key(): {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(s.fullchain(), s.key())
		return &c, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.port = l.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	return s
}

// served returns the chain that the service shows now.
func (s service) served(t *testing.T) []*x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.port}).String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

type request struct {
	ID, Kind, State, Step, Problem, Lineage string
	Result                                  struct{ SHA256 string }
}

// until asks for a request until it is over.
func (c *client) until(t *testing.T, r request) request {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); r.State != "completed" && r.State != "failed"; {
		if time.Now().After(deadline) {
			t.Fatalf("request %+v does not end", r)
		}
		c.want(t, 200, "GET /requests/"+r.ID, nil, &r)
	}
	if r.State != "completed" {
		t.Fatalf("request %+v", r)
	}
	return r
}

type lineage struct {
	ID, Name, Owner, Key string
	Revision             int64
	Current              struct{ SHA256 string }
	Targets              []struct {
		ID        string
		Endpoints []struct{ Port int }
	}
}

func TestCertificateIsFoundAdoptedRenewedInstalledAndRevoked(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		shop := startService(t)
		bad := shop.served(t)[0]
		old := fingerprint(bad)
		c.finds(t, shop, bad)

		// Adopted, with a place to install the next one.
		var connection struct{ ID, Name string }
		c.want(t, 201, "POST /connections", map[string]any{"name": "shop", "connector": "files", "settings": map[string]any{"roots": []string{shop.folder}}}, &connection)
		wanted := map[string]any{
			"owner": "web", "profile": "tls-server", "keep": map[string]any{"vault": "default", "name": "shop"},
			"targets": []any{map[string]any{"connection": connection.ID, "place": map[string]any{"fullchain": shop.fullchain(), "key": shop.key()}}},
		}
		var l lineage
		c.want(t, 201, "POST /certificates/"+old+"/adopt", wanted, &l)
		c.refused(t, 409, "AlreadyAdopted", "POST /certificates/"+old+"/adopt", wanted)
		if l.Name != "shop.example.com" || l.Key != "P-256" || l.Current.SHA256 != old || len(l.Targets) != 1 || len(l.Targets[0].Endpoints) != 1 || l.Targets[0].Endpoints[0].Port != shop.port {
			t.Errorf("adopted %+v", l)
		}
		c.refused(t, 409, "ConnectionInUse", "DELETE /connections/"+connection.ID, nil)

		// Renewed, installed, proved by a handshake.
		var r request
		c.want(t, 202, "POST /requests", map[string]any{"lineage": l.ID, "comment": "ten years are too long", "once": "k"}, &r)
		var same request
		c.want(t, 202, "POST /requests", map[string]any{"lineage": l.ID, "once": "k"}, &same)
		if same.ID != r.ID || r.Kind != "renew" {
			t.Errorf("%+v, again %+v", r, same)
		}
		r = c.until(t, r)
		chain := shop.served(t)
		if fingerprint(chain[0]) != r.Result.SHA256 || r.Result.SHA256 == old {
			t.Errorf("served %s, issued %s, before %s", fingerprint(chain[0]), r.Result.SHA256, old)
		}
		pool := x509.NewCertPool()
		for _, x := range chain[1:] {
			pool.AddCert(x)
		}
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: "shop.example.com", Roots: c.Roots, Intermediates: pool}); err != nil {
			t.Error(err)
		}
		var deployments list[struct{ ID, State string }]
		c.want(t, 200, "GET /deployments?request="+r.ID, nil, &deployments)
		if len(deployments.Items) != 1 || deployments.Items[0].State != "completed" {
			t.Errorf("%+v", deployments)
		}
		c.want(t, 200, "GET /deployments/"+deployments.Items[0].ID, nil, nil)
		var again struct{ ID string }
		c.want(t, 202, "POST /lineages/"+l.ID+"/targets/"+l.Targets[0].ID+"/deploy", nil, &again)
		if again.ID == deployments.Items[0].ID {
			t.Error("the same deployment once more")
		}

		// A scanner elsewhere sees the whole chain.
		var elsewhere struct{ Certificates, Changed int }
		c.want(t, 200, "POST /observations", map[string]any{"observations": []any{map[string]any{
			"host": "shop.example.com", "ip": "192.0.2.7", "port": 443, "state": "present", "chain": [][]byte{chain[0].Raw, chain[1].Raw},
		}}}, &elsewhere)
		var there list[struct{ SHA256, Host string }]
		c.want(t, 200, "GET /endpoints?source=network", nil, &there)
		if elsewhere.Certificates != 2 || elsewhere.Changed != 1 || !slices.Contains(there.Items, struct{ SHA256, Host string }{r.Result.SHA256, "shop.example.com"}) {
			t.Errorf("%+v, endpoints %+v", elsewhere, there)
		}

		c.tells(t, l.ID, r.Result.SHA256)
		c.changes(t, l.ID, wanted)

		// Revoked.
		var gone request
		c.want(t, 202, "POST /certificates/"+r.Result.SHA256+"/revoke", map[string]any{"reason": "keyCompromise"}, &gone)
		c.until(t, gone)
		var revoked struct{ Status, RevocationReason string }
		c.want(t, 200, "GET /certificates/"+r.Result.SHA256, nil, &revoked)
		if revoked.Status != "revoked" || revoked.RevocationReason != "keyCompromise" {
			t.Errorf("%+v", revoked)
		}
		var requests list[request]
		c.want(t, 200, "GET /requests?kind=revoke&state=completed", nil, &requests)
		if len(requests.Items) != 1 || requests.Items[0].ID != gone.ID {
			t.Errorf("%+v", requests)
		}
	})
}

func TestSomebodyElseAgreesOrNot(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		shop := startService(t)
		old := fingerprint(shop.served(t)[0])
		c.want(t, 200, "POST /observations", map[string]any{"observations": []any{map[string]any{
			"ip": "127.0.0.1", "port": shop.port, "state": "present", "chain": [][]byte{shop.served(t)[0].Raw},
		}}}, nil)
		requester, approver := c.as(t, "Requester"), c.as(t, "Approver")

		requester.refused(t, 403, "ForbiddenByRbac", "POST /certificates/"+old+"/revoke", nil)
		var r request
		requester.want(t, 202, "POST /certificates/"+old+"/request-revocation", map[string]any{"comment": "lost"}, &r)
		if r.State != "pending" {
			t.Errorf("%+v", r)
		}
		requester.refused(t, 403, "ForbiddenByRbac", "POST /requests/"+r.ID+"/approve", nil)
		approver.want(t, 200, "POST /requests/"+r.ID+"/deny", map[string]any{"comment": "not yours"}, &r)
		if r.State != "denied" || r.Problem != "not yours" {
			t.Errorf("%+v", r)
		}
		approver.refused(t, 409, "NotPending", "POST /requests/"+r.ID+"/approve", nil)
		requester.want(t, 202, "POST /certificates/"+old+"/request-revocation", nil, &r)
		requester.want(t, 200, "POST /requests/"+r.ID+"/cancel", nil, &r)
		if r.State != "canceled" {
			t.Errorf("%+v", r)
		}
		requester.refused(t, 409, "NotFailed", "POST /requests/"+r.ID+"/retry", nil)
	})
}

func TestConnectionsNeverShowTheirSecrets(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var kinds list[struct {
			Name     string
			Settings struct {
				Properties map[string]struct{ WriteOnly bool }
			}
		}]
		c.want(t, 200, "GET /connectors", nil, &kinds)
		secret := false
		for _, k := range kinds.Items {
			secret = secret || k.Name == "azurekeyvault" && k.Settings.Properties["clientSecret"].WriteOnly
		}
		if !secret {
			t.Errorf("%+v", kinds)
		}
		settings := map[string]any{"url": c.VaultURL("default"), "tenant": "adfs", "clientId": "x", "clientSecret": "canary"}
		draft := map[string]any{"name": "other vault", "connector": "azurekeyvault", "settings": settings}
		var made struct {
			ID, Name string
			Secrets  []string
		}
		c.want(t, 201, "POST /connections", draft, &made)
		if len(made.Secrets) != 1 {
			t.Errorf("%+v", made)
		}
		c.refused(t, 409, "NameTaken", "POST /connections", draft)
		delete(settings, "clientSecret")
		settings["clientId"] = "y"
		c.want(t, 200, "PUT /connections/"+made.ID, draft, &made)
		settings["url"] = "https://elsewhere.example.com"
		c.refused(t, 422, "InvalidSettings", "PUT /connections/"+made.ID, draft)
		settings["colour"] = "red"
		c.refused(t, 422, "InvalidSettings", "PUT /connections/"+made.ID, draft)

		for _, route := range []string{"GET /connections", "GET /connections/" + made.ID, "POST /connections/" + made.ID + "/test"} {
			if status, _, b := c.send(t, route, nil); status != 200 || strings.Contains(string(b), "canary") || !strings.Contains(string(b), "clientSecret") {
				t.Errorf("%s: %d %s", route, status, b)
			}
		}
		c.want(t, 204, "DELETE /connections/"+made.ID, nil, nil)
		c.refused(t, 404, "ConnectionNotFound", "GET /connections/"+made.ID, nil)
	})
}

type run struct {
	ID, State, Problem string
	Total, Done, Found int
	New                int
}

func TestCampaignRunsAndFillsTheInventory(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		shop := startService(t)
		var made struct {
			ID, Name string
			Revision int64
		}
		draft := map[string]any{"name": "local", "targets": []string{"127.0.0.1:" + big.NewInt(int64(shop.port)).String()}}
		c.want(t, 201, "POST /campaigns", draft, &made)
		c.refused(t, 409, "NameTaken", "POST /campaigns", draft)
		c.refused(t, 422, "InvalidTarget", "POST /campaigns", map[string]any{"name": "bad", "targets": []string{"10.0.0.0/2"}})
		var r run
		c.want(t, 202, "POST /campaigns/"+made.ID+"/runs", nil, &r)
		for deadline := time.Now().Add(30 * time.Second); r.State == "queued" || r.State == "running"; {
			if time.Now().After(deadline) {
				t.Fatalf("%+v does not end", r)
			}
			c.want(t, 200, "GET /runs/"+r.ID, nil, &r)
		}
		if r.State != "completed" || r.Total != 1 || r.Found != 1 || r.New != 1 {
			t.Errorf("%+v", r)
		}
		c.refused(t, 409, "RunEnded", "POST /runs/"+r.ID+"/cancel", nil)
		var endpoints list[struct {
			SHA256 string
			Port   int
		}]
		c.want(t, 200, "GET /endpoints?source=network", nil, &endpoints)
		if len(endpoints.Items) != 1 || endpoints.Items[0].Port != shop.port {
			t.Errorf("%+v", endpoints)
		}

		var second run
		c.want(t, 202, "POST /campaigns/"+made.ID+"/runs", nil, &second)
		var runs, rest list[run]
		c.want(t, 200, "GET /runs?limit=1&campaign="+made.ID, nil, &runs)
		c.want(t, 200, "GET /runs?campaign="+made.ID+"&after="+url.QueryEscape(runs.Next), nil, &rest)
		if len(runs.Items) != 1 || runs.Items[0].ID != second.ID || len(rest.Items) != 1 || rest.Items[0].ID != r.ID {
			t.Errorf("%+v, then %+v", runs, rest)
		}

		draft["versions"], draft["revision"] = true, made.Revision
		c.want(t, 200, "PUT /campaigns/"+made.ID, draft, &made)
		c.refused(t, 409, "Changed", "PUT /campaigns/"+made.ID, draft)
		c.want(t, 204, "DELETE /campaigns/"+made.ID, nil, nil)
		c.refused(t, 404, "CampaignNotFound", "GET /campaigns/"+made.ID, nil)
		c.as(t, "Requester").refused(t, 403, "ForbiddenByRbac", "GET /campaigns", nil)
	})
}

func TestLineageIsMadeListedAndEnded(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var l lineage
		for _, name := range []string{"b", "a", "c"} {
			c.want(t, 201, "POST /lineages", map[string]any{
				"name": name, "owner": "web", "profile": "tls-server", "names": map[string]any{"dns": []string{name + ".example.com"}},
				"keep": map[string]any{"vault": "default", "name": name}, "validity": "30d",
			}, &l)
		}
		c.refused(t, 422, "UnknownProfile", "POST /lineages", map[string]any{"name": "d", "profile": "nothing", "keep": map[string]any{"vault": "default", "name": "d"}})
		var page list[lineage]
		c.want(t, 200, "GET /lineages?limit=2&owner=web", nil, &page)
		if len(page.Items) != 2 || page.Items[0].Name != "a" || page.Next != "b" {
			t.Errorf("%+v", page)
		}
		c.want(t, 200, "GET /lineages?owner=nobody", nil, &page)
		if len(page.Items) != 0 {
			t.Errorf("%+v", page)
		}
		var r request
		c.want(t, 202, "POST /requests", map[string]any{"lineage": l.ID}, &r)
		if r = c.until(t, r); r.Kind != "enroll" {
			t.Errorf("%+v", r)
		}
		c.want(t, 204, "DELETE /lineages/"+l.ID, nil, nil)
		c.refused(t, 404, "LineageNotFound", "GET /lineages/"+l.ID, nil)
	})
}

// finds tells the inventory of the shop's certificate, and looks at what it says of it.
func (c *client) finds(t *testing.T, shop service, bad *x509.Certificate) {
	t.Helper()
	var seen struct{ New, Changed int }
	observed := map[string]any{"observations": []any{map[string]any{
		"ip": "127.0.0.1", "port": shop.port, "sni": "shop.example.com", "state": "present", "chain": [][]byte{bad.Raw},
	}}}
	c.want(t, 200, "POST /observations", observed, &seen)
	if seen.New != 1 || seen.Changed != 1 {
		t.Errorf("recorded %+v", seen)
	}
	var found struct {
		SHA256, PEM, Grade, Stage, Lineage string
		Findings                           []struct{ Rule string }
		Installations                      []struct{ Port int }
	}
	c.want(t, 200, "GET /certificates/"+fingerprint(bad), nil, &found)
	if !strings.Contains(found.PEM, "BEGIN CERTIFICATE") || len(found.Findings) == 0 || found.Grade == "A" || len(found.Installations) != 1 || found.Stage != "discovered" {
		t.Errorf("found %+v", found)
	}
	var count struct{ Count int64 }
	c.want(t, 200, "GET /certificates/count?filter="+url.QueryEscape("selfsigned and finding = validity and port = 1"), nil, &count)
	if count.Count != 0 {
		t.Errorf("the filter matches %d", count.Count)
	}
	c.refused(t, 422, "InvalidFilter", "GET /certificates?filter=colour+%3D+red", nil)
}

// tells looks at what a lineage says of itself after its renewal.
func (c *client) tells(t *testing.T, id, current string) {
	t.Helper()
	var next struct{ Tone, Text string }
	c.want(t, 200, "GET /lineages/"+id+"/next", nil, &next)
	if next.Tone != "calm" || !strings.Contains(next.Text, "renews itself") {
		t.Errorf("%+v", next)
	}
	var members, first list[struct{ SHA256 string }]
	c.want(t, 200, "GET /lineages/"+id+"/certificates", nil, &members)
	c.want(t, 200, "GET /lineages/"+id+"/certificates?limit=1", nil, &first)
	if len(members.Items) != 2 || members.Items[0].SHA256 != current || len(first.Items) != 1 || first.Next == "" {
		t.Errorf("%+v, %+v", members, first)
	}
}

// changes changes a lineage once, and not a second time from the same state.
func (c *client) changes(t *testing.T, id string, wanted map[string]any) {
	t.Helper()
	var l lineage
	c.want(t, 200, "GET /lineages/"+id, nil, &l)
	wanted["revision"], wanted["name"], wanted["owner"] = l.Revision, "shop", "shop team"
	wanted["names"] = map[string]any{"dns": []string{"shop.example.com"}}
	var changed lineage
	c.want(t, 200, "PUT /lineages/"+id, wanted, &changed)
	c.refused(t, 409, "Changed", "PUT /lineages/"+id, wanted)
	if changed.Owner != "shop team" || changed.Revision != l.Revision+1 {
		t.Errorf("%+v", changed)
	}
}
