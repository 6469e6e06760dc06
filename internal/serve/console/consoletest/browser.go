// Package consoletest looks at the console as a browser and as a reader of its markup
// would. Only tests use it.
package consoletest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Browser is a Chromium with one tab. It remembers what the tab's console said.
type Browser struct {
	t   testing.TB
	ctx context.Context

	mu   sync.Mutex
	said []string
}

// Open starts Chromium, or skips the test where none is installed; with CI=true a
// missing browser is a failure.
func Open(t testing.TB) *Browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed; on Debian: apt-get install chromium")
		}
		t.Skip("chromium is not installed; on Debian: apt-get install chromium")
	}
	dir, err := os.MkdirTemp("", "consoletest")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(dir), chromedp.DisableGPU,
		chromedp.Flag("no-sandbox", os.Geteuid() == 0), // Chromium refuses its sandbox to root
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("ignore-certificate-errors", true), // the servers of tests sign their own
	)
	deadline, stop := context.WithTimeout(context.Background(), 4*time.Minute)
	allocator, closeAllocator := chromedp.NewExecAllocator(deadline, options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closeTab()
		closeAllocator()
		stop()
		_ = os.RemoveAll(dir) // a child may still write there; the system cleans its temporary folder
	})
	b := &Browser{t: t, ctx: ctx}
	b.listen()
	return b
}

// listen keeps every message of the tab's console: script errors, refusals by the
// content security policy and failed requests arrive there.
func (b *Browser) listen() {
	messages := chromedp.Console(b.ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.said = append(b.said, m.String())
			b.mu.Unlock()
		}
	}()
}

// Said returns what the console said since the last call.
func (b *Browser) Said() []string {
	// A round trip to the page orders the messages before the answer.
	_, _ = chromedp.Run(b.ctx, chromedp.Evaluate[int]("1"))
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

// patience is how long a step may take.
const patience = 20 * time.Second

// Do runs steps in the tab and fails the test when one does not work.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for i, step := range steps {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		err := chromedp.Do(ctx, step)
		cancel()
		if err != nil {
			b.t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// Wait waits until an expression of the page is true, also when the page is loaded anew
// meanwhile.
func (b *Browser) Wait(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("wait for %s: %v", expression, err)
		}
	}
}

// Press presses and lets go of one key that writes a character. Unlike chromedp's
// KeyEvent it writes nothing when the page takes the key for itself, as in real use.
func Press(key string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		for _, p := range []input.DispatchKeyEventParams{
			{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key, UnmodifiedText: key}, {Type: input.DispatchKeyEventTypeKeyUp, Key: key},
		} {
			if _, err := cdp.Call(ctx, tab, input.DispatchKeyEvent, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// Follow runs a step that leads to another page and waits until that one is there.
func (b *Browser) Follow(step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	every := func(page.EventLoadEventFired) bool { return true }
	if _, err := chromedp.Run(ctx, chromedp.WaitEvent(page.LoadEventFired, every, step)); err != nil {
		b.t.Fatal(err)
	}
}

// Visit opens an address and waits until the page is there.
func (b *Browser) Visit(address string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(address)); err != nil {
		b.t.Fatalf("open %s: %v", address, err)
	}
}

// Eval evaluates an expression in the page.
func Eval[T any](b *Browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// Size sets the window, and the colours that the system prefers.
func (b *Browser) Size(width, height int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// Downloads has the browser keep in dir what it is told to save.
func (b *Browser) Downloads(dir string) {
	b.t.Helper()
	b.Do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir})
		return err
	}))
}

// Picture writes the whole page as PNG to dir/name.png. Without dir it does nothing.
func (b *Browser) Picture(dir, name string) {
	b.t.Helper()
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}
