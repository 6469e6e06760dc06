package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/serve/console/consoletest"
)

func TestEveryPageAsksWhoYouAre(t *testing.T) {
	h := open(t)
	b := h.browser()

	for _, path := range []string{"/certificates?q=expired", "/certificates/abc", "/endpoints", "/vaults", "/vaults/payroll", "/audit", "/search?words=x", "/no-such-page"} {
		a := b.get(path)
		want := "/sign-in?" + url.Values{"next": {path}}.Encode()
		if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", path, a.StatusCode, a.Header.Get("Location"), want)
		}
	}
	if a := b.post("/audit/verify"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/sign-in" {
		t.Errorf("post: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	if a := b.do(http.MethodGet, "/overview/events", nil, "HX-Request", "true"); a.Header.Get("HX-Redirect") != "/sign-in" {
		t.Errorf("fragment: %d, HX-Redirect %q", a.StatusCode, a.Header.Get("HX-Redirect"))
	}
}

func TestLinkSignsInOnceAndOnlyWhenPressed(t *testing.T) {
	h := open(t)
	link, err := h.access.Sessions.CreateLink(t.Context(), h.access.Administrator(), h.access.Admin.ID)
	if err != nil {
		t.Fatal(err)
	}
	token := link.Token.Reveal()
	b := h.browser()

	for range 3 { // a mail filter looks into it
		if a := b.page("/sign-in?token=" + token + "&next=/audit"); len(a.Cookies()) != 0 {
			t.Fatal("looking at the link signed in")
		}
	}
	a := b.post("/sign-in", "token", token, "next", "/audit")

	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/audit" {
		t.Fatalf("%d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	raw := a.Header.Get("Set-Cookie")
	for _, want := range []string{"__Host-session=", "Path=/;", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(raw, want) {
			t.Errorf("cookie %q lacks %s", raw, want)
		}
	}
	if strings.Contains(raw, "Domain") {
		t.Errorf("cookie %q has a domain", raw)
	}
	b.page("/audit")
	again := h.browser().post("/sign-in", "token", token)
	if again.StatusCode != http.StatusUnauthorized || len(again.Cookies()) != 0 {
		t.Errorf("the second use: %d", again.StatusCode)
	}
	if !strings.Contains(consoletest.Text(again.doc.All("main")[0]), "the link was used") {
		t.Error("the second use does not say why it failed")
	}
}

func TestPasswordSignsInUntilTooManyWereWrong(t *testing.T) {
	h := open(t)
	if _, err := h.access.Directory.CreateUser(t.Context(), h.access.Administrator(), directory.NewUser{
		Name: "Ada <b>Lovelace</b>", SignIn: "ada", Password: access.NewSecret("correct horse battery staple"),
	}); err != nil {
		t.Fatal(err)
	}
	b := h.browser()

	if a := b.post("/sign-in", "user", "ada", "password", "correct horse battery staple"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("the right password: %d", a.StatusCode)
	}
	for i := range 6 {
		a := h.browser().post("/sign-in", "user", "ada", "password", "wrong")
		want := http.StatusUnauthorized
		if i == 5 {
			want = http.StatusTooManyRequests
		}
		if a.StatusCode != want || len(a.Cookies()) != 0 {
			t.Errorf("wrong password %d: %d, want %d", i+1, a.StatusCode, want)
		}
		if strings.Contains(a.body, "wrong\"") {
			t.Error("the password is in the page")
		}
	}
}

func TestNoSiteButOursIsOpenedAfterSignIn(t *testing.T) {
	h := open(t)
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/\\evil", "javascript:alert(1)", "/\t/evil.example", "evil"} {
		a := h.browser().page("/sign-in?" + url.Values{"next": {next}}.Encode())
		for _, in := range a.doc.All("input") {
			if consoletest.Attr(in, "name") == "next" && consoletest.Attr(in, "value") != "/" {
				t.Errorf("next=%q became %q", next, consoletest.Attr(in, "value"))
			}
		}
	}
}

func TestSignOutEndsTheSessionOnTheServer(t *testing.T) {
	h := open(t)
	b := h.signedIn()
	address, err := url.Parse(h.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	stolen := b.c.Jar.Cookies(address)

	a := b.post("/sign-out")

	if a.Header.Get("Location") != "/sign-in?did=signed-out" || !strings.Contains(a.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%q, %q", a.Header.Get("Location"), a.Header.Get("Set-Cookie"))
	}
	thief := h.browser()
	thief.c.Jar.SetCookies(address, stolen)
	if a := thief.get("/audit"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the cookie still works: %d", a.StatusCode)
	}
}

func TestSessionEndsWhenNobodyUsesIt(t *testing.T) {
	h := open(t)
	b := h.signedIn()
	b.page("/certificates")
	h.access.Advance(hour)

	a := b.get("/certificates")

	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/sign-in") {
		t.Errorf("%d to %q", a.StatusCode, a.Header.Get("Location"))
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	h := open(t)
	b := h.signedIn()
	for name, header := range map[string][]string{
		"by fetch metadata": {"Sec-Fetch-Site", "cross-site"},
		"by same site":      {"Sec-Fetch-Site", "same-site"}, // a vault's host is another origin
		"by origin":         {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"by null origin":    {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		for _, path := range []string{"/sign-out", "/theme", "/sign-in", "/audit/verify"} {
			a := b.do(http.MethodPost, path, url.Values{"theme": {"dark"}}, header...)
			if a.StatusCode != http.StatusForbidden || len(a.Cookies()) != 0 {
				t.Errorf("%s %s: %d", path, name, a.StatusCode)
			}
		}
	}
	b.page("/certificates") // still signed in
}

func TestThemeIsRememberedAndDrawnByTheServer(t *testing.T) {
	h := open(t)
	b := h.signedIn()

	a := b.post("/theme", "theme", "dark", "back", "/certificates?q=wildcard")

	if a.Header.Get("Location") != "/certificates?q=wildcard" {
		t.Errorf("back to %q", a.Header.Get("Location"))
	}
	if got := consoletest.Attr(b.page("/certificates").doc.All("html")[0], "data-theme"); got != "dark" {
		t.Errorf("theme %q", got)
	}
	b.post("/theme", "theme", "")
	if got := consoletest.Attr(b.page("/certificates").doc.All("html")[0], "data-theme"); got != "" {
		t.Errorf("theme %q after it was given back to the system", got)
	}
	address, err := url.Parse(h.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	b.c.Jar.SetCookies(address, []*http.Cookie{{Name: "__Host-theme", Value: "evil", Path: "/", Secure: true}})
	if got := consoletest.Attr(b.page("/certificates").doc.All("html")[0], "data-theme"); got != "" {
		t.Errorf("theme %q", got)
	}
}
