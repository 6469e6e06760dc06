package console_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"chatelaine.dev/internal/serve/console/consoletest"
)

// enter signs the browser in with a link, as a person does.
func enter(h *house, b *consoletest.Browser) {
	h.t.Helper()
	link, err := h.access.Sessions.CreateLink(h.t.Context(), h.access.Administrator(), h.access.Admin.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	b.Visit(h.server.URL + "/sign-in?token=" + link.Token.Reveal())
	b.Follow(chromedp.Click(chromedp.CSS("button.primary")))
}

// TestBrowserRefusesNothing opens every page in Chromium. A style, script, font or
// request that the content security policy refuses is an error in its console.
func TestBrowserRefusesNothing(t *testing.T) {
	h := furnished(t)
	b := consoletest.Open(t)
	enter(h, b)
	pages := slices.Sorted(maps.Keys(walk(h.signedIn(), "/")))
	for _, width := range []int64{1280, 360} {
		b.Size(width, 800, width == 360)
		for _, path := range pages {
			if strings.HasSuffix(path, "/pem") {
				continue
			}
			b.Visit(h.server.URL + path)
			if over := consoletest.Eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
				t.Errorf("%s: %d pixels wider than a window of %d", path, over, width)
			}
			if !consoletest.Eval[bool](b, "document.fonts.check('14px Inter') && typeof htmx === 'object'") {
				t.Errorf("%s: typeface or htmx did not load", path)
			}
			for _, said := range b.Said() {
				t.Errorf("%s: %s", path, said)
			}
		}
		b.Visit(h.server.URL + "/")
		b.Picture(os.Getenv("CHATELAINE_PICTURES"), map[int64]string{1280: "real-overview", 360: "real-overview-360"}[width])
		b.Visit(h.server.URL + "/certificates")
		b.Picture(os.Getenv("CHATELAINE_PICTURES"), map[int64]string{1280: "real-certificates", 360: "real-certificates-360"}[width])
	}
}

func TestKeyboardAloneIsEnough(t *testing.T) {
	h := furnished(t)
	b := consoletest.Open(t)
	enter(h, b)
	b.Size(1280, 800, false)
	b.Visit(h.server.URL + "/certificates")
	focused := func() string { return consoletest.Eval[string](b, "document.activeElement.textContent.trim()") }

	b.Do(consoletest.Press("j"))
	first := focused()
	b.Do(consoletest.Press("j"))
	second := focused()
	b.Do(consoletest.Press("k"))
	if first == "" || first == second || focused() != first {
		t.Errorf("j, j, k went to %q, %q, %q", first, second, focused())
	}
	b.Follow(consoletest.Press("o"))
	if h1 := consoletest.Eval[string](b, "document.querySelector('h1').textContent"); h1 != first {
		t.Errorf("o opened %q, want %q", h1, first)
	}
	b.Do(consoletest.Press("?"), chromedp.WaitVisible(chromedp.CSS("#keys[open]")), chromedp.KeyEvent(kb.Escape))
	b.Wait("!document.querySelector('#keys').open && !document.activeElement.closest('#keys')")
	b.Do(consoletest.Press("/"))
	if consoletest.Eval[string](b, "document.activeElement.id") != "search" {
		t.Errorf("/ goes to %s", consoletest.Eval[string](b, "document.activeElement.outerHTML"))
	}
	b.Do(chromedp.KeyEvent("pay"))
	b.Follow(chromedp.KeyEvent(kb.Enter))
	if rows := consoletest.Eval[int](b, "document.querySelectorAll('tbody [data-row]').length"); rows != 1 {
		t.Errorf("the search shows %d certificates at %s", rows, consoletest.Eval[string](b, "location.href"))
	}
	b.Do(consoletest.Press("/"))
	if consoletest.Eval[string](b, "document.activeElement.id") != "q" {
		t.Error("/ on a list does not go to its filter")
	}
	b.Visit(h.server.URL + "/certificates")
	b.Do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	if consoletest.Eval[string](b, "location.hash") != "#main" {
		t.Error("the first stop of the keyboard does not skip to the content")
	}
	for _, said := range b.Said() {
		t.Error(said)
	}
}

func TestThemeSwitchesWithoutLoadingAndStays(t *testing.T) {
	h := open(t)
	b := consoletest.Open(t)
	enter(h, b)
	b.Size(1280, 800, false)
	b.Visit(h.server.URL + "/")
	ground := func() string {
		return consoletest.Eval[string](b, "getComputedStyle(document.body).backgroundColor")
	}
	light := ground()

	consoletest.Eval[bool](b, "window.stayed = true")
	b.Do(chromedp.Click(chromedp.CSS(`button[value="dark"]`)))

	if dark := ground(); dark == light || !consoletest.Eval[bool](b, "window.stayed") {
		t.Errorf("after the switch the ground is %s, before %s", dark, light)
	}
	b.Do(chromedp.WaitVisible(chromedp.CSS(`form[data-kept="dark"]`)))
	b.Visit(h.server.URL + "/audit")
	if got := ground(); got == light {
		t.Error("the next page forgot the theme")
	}
	if b.Size(1280, 800, true); ground() == light {
		t.Error("dark by the system is not dark")
	}
	for _, said := range b.Said() {
		t.Error(said)
	}
}

func TestMenuFoldsOnNarrowWindows(t *testing.T) {
	h := open(t)
	b := consoletest.Open(t)
	enter(h, b)
	b.Size(360, 740, false)
	b.Visit(h.server.URL + "/")
	shown := func() bool {
		return consoletest.Eval[bool](b, `document.querySelector('.places a[href="/audit"]').offsetParent !== null`)
	}
	if shown() {
		t.Error("the menu is open before it was asked for")
	}

	b.Do(chromedp.Click(chromedp.CSS(".burger")))

	if !shown() {
		t.Fatal("the button does not open the menu")
	}
	b.Follow(chromedp.Click(chromedp.CSS(`.places a[href="/audit"]`)))
	if h1 := consoletest.Eval[string](b, "document.querySelector('h1').textContent"); h1 != "Audit" {
		t.Errorf("the entry leads to %q", h1)
	}
}
