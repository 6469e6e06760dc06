package console_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/console/consoletest"
)

// user is somebody's browser at the running product.
type user struct {
	t       *testing.T
	product *apptest.Product
	client  *http.Client
}

func visitor(t *testing.T, p *apptest.Product) *user {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &user{t, p, &http.Client{
		Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Roots, MinVersion: tls.VersionTLS12}, DialContext: apptest.Loopback},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// administrator signs in with the link that the server prints.
func administrator(t *testing.T, p *apptest.Product) *user {
	t.Helper()
	var greeting bytes.Buffer
	p.Greet(t.Context(), &greeting)
	token := regexp.MustCompile(`token=(\S+)`).FindStringSubmatch(greeting.String())
	if token == nil {
		t.Fatalf("no link in %s", greeting.String())
	}
	u := visitor(t, p)
	if a := u.post("/sign-in", "token", token[1]); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in: %d", a.StatusCode)
	}
	return u
}

// colleague signs in with a password and has the role.
func colleague(t *testing.T, p *apptest.Product, name, role string) *user {
	t.Helper()
	const password = "a long sentence that nobody guesses"
	made, err := p.Directory.CreateUser(t.Context(), apptest.System, directory.NewUser{Name: name, SignIn: strings.ToLower(name), Password: access.NewSecret(password)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Directory.Assign(t.Context(), apptest.System, made.ID, role, access.Root); err != nil {
		t.Fatal(err)
	}
	u := visitor(t, p)
	if a := u.post("/sign-in", "user", strings.ToLower(name), "password", password); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in: %d", a.StatusCode)
	}
	return u
}

func (u *user) do(method, path string, form url.Values) answer {
	u.t.Helper()
	r, err := http.NewRequest(method, u.product.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		u.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := u.client.Do(r)
	if err != nil {
		u.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	doc, err := consoletest.Parse(body)
	if err != nil {
		u.t.Fatal(err)
	}
	return answer{res, string(body), doc}
}

func (u *user) post(path string, pairs ...string) answer {
	u.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return u.do(http.MethodPost, path, form)
}

// reads gets a page and fails unless it says all of it.
func (u *user) reads(path string, all ...string) answer {
	u.t.Helper()
	a := u.do(http.MethodGet, path, nil)
	text := consoletest.Text(a.doc.All("body")[0])
	for _, want := range all {
		if a.StatusCode != http.StatusOK || !strings.Contains(text, want) {
			u.t.Fatalf("GET %s: %d, does not say %q:\n%s", path, a.StatusCode, want, text)
		}
	}
	for _, p := range a.doc.Problems() {
		u.t.Errorf("%s: %s", path, p)
	}
	return a
}

// sent fails unless the form was accepted, and returns where it led.
func (u *user) sent(a answer) string {
	u.t.Helper()
	to := a.Header.Get("Location")
	if a.StatusCode != http.StatusSeeOther || to == "" {
		u.t.Fatalf("%s %s: %d\n%s", a.Request.Method, a.Request.URL.Path, a.StatusCode, consoletest.Text(a.doc.All("main")[0]))
	}
	path, _, _ := strings.Cut(to, "?")
	return path
}

// issued makes a lineage with a certificate and returns both.
func issued(t *testing.T, p *apptest.Product, name string, targets ...lineage.Target) (lineage.Lineage, enrollment.Request) {
	t.Helper()
	l, err := p.Lineages.Create(t.Context(), apptest.System, lineage.Wanted{
		Name: name, Owner: "Shop <b>team</b>", Profile: "tls-server", Names: profile.Names{DNS: []string{name}}, Keep: lineage.Keep{Vault: "default", Name: strings.ReplaceAll(name, ".", "-")},
	}, targets)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Requests.Create(t.Context(), apptest.System, enrollment.Draft{Lineage: l.ID})
	if err != nil {
		t.Fatal(err)
	}
	return l, ended(t, p, r.ID)
}

// ended waits for the end of a request, which the product's queue works on.
func ended(t *testing.T, p *apptest.Product, id string) enrollment.Request {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		r, err := p.Requests.Get(t.Context(), apptest.System, id)
		if err != nil {
			t.Fatal(err)
		}
		if !r.State.Live() {
			return r
		}
	}
	t.Fatalf("request %s does not end", id)
	return enrollment.Request{}
}

func TestRevocationWaitsForASecondPerson(t *testing.T) {
	p := apptest.Start(t)
	_, first := issued(t, p, "shop.example.test")
	admin, approver := administrator(t, p), colleague(t, p, "Bea", "Approver")
	ask := "/certificates/" + first.Result.SHA256 + "/revoke"

	// Asked by one, who cannot agree to it.
	request := admin.sent(admin.post(ask, "reason", "keyCompromise", "who", "ask", "comment", "<i>found</i> in a log", "confirm", "shop.example.test"))
	admin.reads(request, "It waits for an approval.", "You asked for it", "<i>found</i> in a log", "keyCompromise")
	if a := admin.post(request + "/approve"); a.StatusCode != http.StatusForbidden {
		t.Errorf("the one who asked approved it: %d", a.StatusCode)
	}
	admin.reads("/", "1 request waits for an approval")

	// The menu of the other says that something waits, and leads to it.
	a := approver.reads("/requests?state=pending", "shop.example.test", "waits for an approval")
	if n := consoletest.Text(a.doc.ByID("places")); !strings.Contains(n, "Requests 1 wait for an approval") {
		t.Errorf("menu: %s", n)
	}
	if a := approver.post(request+"/deny", "comment", " "); a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("denied without a word: %d", a.StatusCode)
	}
	approver.sent(approver.post(request+"/deny", "comment", "not before the sale"))
	admin.reads(request, "denied", "Bea denied it", "not before the sale")

	// Asked again, and approved.
	request = admin.sent(admin.post(ask, "reason", "keyCompromise", "who", "ask", "confirm", "shop.example.test"))
	approver.sent(approver.post(request + "/approve"))
	if r := ended(t, p, strings.TrimPrefix(request, "/requests/")); r.State != enrollment.Completed {
		t.Fatalf("the request is %s: %s", r.State, r.Problem)
	}
	admin.reads("/certificates/"+first.Result.SHA256, "It was revoked", "keyCompromise")
	if a := admin.post(ask, "reason", "superseded", "who", "now", "confirm", "shop.example.test"); a.StatusCode != http.StatusConflict {
		t.Errorf("revoked twice: %d", a.StatusCode)
	}
}

func TestDeploymentThatFailsIsOnTheFirstScreenUntilItIsMended(t *testing.T) {
	p := apptest.Start(t)
	dir := t.TempDir()
	c, err := p.Connections.Create(t.Context(), apptest.System, connection.Draft{
		Name: "web-1", Connector: "files", Settings: []byte(`{"roots":["` + dir + `"],"check":["/bin/false"]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, r := issued(t, p, "shop.example.test", lineage.Target{Connection: c.ID, Place: map[string]any{"fullchain": dir + "/full.pem", "key": dir + "/key.pem"}})
	if r.State != enrollment.Failed {
		t.Fatalf("the request is %s", r.State)
	}
	u := administrator(t, p)

	first := u.reads("/", "1 request failed", "shop.example.test", "Show the request")
	u.reads("/requests?state=failed", "shop.example.test", "failed")
	u.reads("/lineages/"+l.ID, "Something is broken", "rolled back", "web-1", "full.pem")
	page := u.reads("/requests/"+r.ID, "failed", "Install it and prove it by a handshake", "Try again")
	if !strings.Contains(consoletest.Text(first.doc.All("tbody")[0]), "Shop <b>team</b>") {
		t.Error("the row does not say who answers for it")
	}
	if strings.Contains(page.body, "<b>team</b>") {
		t.Error("the owner's name is markup")
	}

	// Mended, and tried again.
	if _, err := p.Connections.Update(t.Context(), apptest.System, c.ID, connection.Draft{Name: "web-1", Settings: []byte(`{"roots":["` + dir + `"],"check":["/bin/true"]}`)}); err != nil {
		t.Fatal(err)
	}
	u.sent(u.post("/requests/" + r.ID + "/retry"))
	if r := ended(t, p, r.ID); r.State != enrollment.Completed {
		t.Fatalf("the request is %s: %s", r.State, r.Problem)
	}
	u.reads("/lineages/"+l.ID, "installed", "Nothing to do.")
	if text := consoletest.Text(u.reads("/").doc.All("main")[0]); strings.Contains(text, "request failed") {
		t.Errorf("the first screen still says so: %s", text)
	}
}

func TestFormsKeepWhatWasTypedButNoSecrets(t *testing.T) {
	p := apptest.Start(t)
	u := administrator(t, p)

	a := u.post("/connections/new?connector=azurekeyvault", "name", "prod \"east\"", "setting-vaultUrl", "not an address", "setting-clientSecret", "s3cr3t-value", "setting-tenant", "t")

	if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(consoletest.Text(a.doc.All("main")[0]), "Nothing was changed.") {
		t.Fatalf("%d: %s", a.StatusCode, consoletest.Text(a.doc.All("main")[0]))
	}
	if got := consoletest.Attr(a.doc.ByID("f-name"), "value"); got != "prod \"east\"" {
		t.Errorf("the name became %q", got)
	}
	if strings.Contains(a.body, "s3cr3t-value") {
		t.Error("the secret came back")
	}
	for _, problem := range a.doc.Problems() {
		t.Error(problem)
	}
}

func TestScanThatCannotBeStartedSaysWhy(t *testing.T) {
	p := apptest.Start(t)
	u := administrator(t, p)

	a := u.post("/discovery/scan", "name", "metadata", "targets", "169.254.169.254", "interval", "0")
	b := u.post("/discovery/scan", "name", "odd/name", "targets", "localhost:1", "interval", "0")

	for status, x := range map[int]answer{http.StatusForbidden: a, http.StatusUnprocessableEntity: b} {
		text := consoletest.Text(x.doc.All("main")[0])
		if x.StatusCode != status || !strings.Contains(text, "Nothing was changed.") || strings.Contains(text, "role") {
			t.Errorf("%d: %s", x.StatusCode, text)
		}
	}
	if got := consoletest.Text(b.doc.ByID("f-targets")); got != "localhost:1" {
		t.Errorf("the targets became %q", got)
	}
}

// TestOpenWindowStopsAskingByItself: each question is a use of the session, which must
// end when nobody sits there any more.
func TestOpenWindowStopsAskingByItself(t *testing.T) {
	u := administrator(t, apptest.Start(t))
	path, asked := "/", 0

	for ; path != "" && asked < 1000; asked++ {
		a := u.do(http.MethodGet, path, nil)
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d", path, a.StatusCode)
		}
		path = consoletest.Attr(a.doc.ByID("events"), "hx-get")
	}

	if asked != 60 { // every ten seconds for ten minutes
		t.Errorf("it asked %d times", asked)
	}
}
