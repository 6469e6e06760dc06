// Package canary shows that no secret gets out. Everything that the product is told or makes
// and that nobody else may know is different each time; after a full run, none of it is in
// what the server says, writes, answers or shows, nor in what is left when it dies.
package canary

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const fewest = 5000 // canaries of a run (reliability: A4)

func TestNoSecretGetsOut(t *testing.T) {
	if testing.Short() {
		t.Skip("a full run")
	}
	w := begin(t)
	h := newHook()
	defer h.Close()
	w.env["HOOK"] = h.URL

	play(w)
	w.lookEverywhere()
	pages := w.walkConsole()
	records := w.readTrail()
	w.typeVerbs()

	f := w.flock()
	if f.count < fewest {
		t.Errorf("only %d canaries, want %d: acts were left out", f.count, fewest)
	}
	listen := func(sink string, text []byte) {
		t.Helper()
		for i, found := range f.find(text) {
			if i == 5 {
				t.Errorf("%s: and more", sink)
				break
			}
			t.Errorf("%s: %s", sink, found)
		}
	}
	// What is there on purpose is found, or the search proves nothing.
	for sink, text := range map[string][]byte{"an answer that reveals": w.vault("GET", "/secrets/s1", "", true), "admin.env": w.read(w.data + "/bootstrap/admin.env")} {
		if len(f.find(text)) == 0 {
			t.Errorf("the secret in %s is not found", sink)
		}
	}
	listen("answers, pages, trail and verbs", w.heard.Bytes())
	listen("what the webhook was told", []byte(h.told.String()))
	size := 0
	for name, content := range w.files() {
		listen(name, content)
		size += len(content)
	}

	// Then it dies as badly as a program can, and leaves what a crash leaves.
	if err := w.process.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if err := w.process.Wait(); !errors.As(err, &ended) {
		t.Errorf("the server ended with %v, want an abort", err)
	}
	said := w.read(w.said.Name())
	if !bytes.Contains(said, []byte("SIGABRT")) || !bytes.Contains(said, []byte("goroutine ")) {
		t.Error("the server did not say how it died: this test looks in the wrong place")
	}
	listen("what the server said", said)
	for name, content := range w.files() {
		listen(name+" after the crash", content)
	}
	if left, err := os.ReadDir(w.process.Dir); err != nil || len(left) > 0 {
		t.Errorf("the crash left %v %v", left, err)
	}

	t.Logf("%d canaries; %d pages, %d records, %d bytes of answers, %d of log, %d of files", f.count, pages, records, w.heard.Len(), len(said), size)
}

// lookEverywhere reads what is listed, and asks for what a server of this kind might have.
func (w *world) lookEverywhere() {
	for _, path := range []string{
		"/secrets", "/deletedsecrets", "/keys", "/deletedkeys", "/certificates", "/deletedcertificates", "/certificates/issuers", "/certificates/contacts",
	} {
		next := w.env["CHATELAINE_VAULT_URL"] + path + "?api-version=7.6"
		for pages := 0; next != "" && pages < 200; pages++ {
			_, body := w.send(call{method: "GET", url: next})
			var page struct{ NextLink string }
			_ = json.Unmarshal(body, &page) // an error has no next
			next = page.NextLink
		}
	}
	for _, base := range []string{"CHATELAINE_URL", "CHATELAINE_VAULT_URL"} {
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/vars", "/.env", "/bootstrap/admin.env", "/chatelaine.db"} {
			if status, body := w.send(call{method: "GET", url: w.env[base] + path}); status == http.StatusOK {
				w.t.Errorf("%s%s is there: %.100s", w.env[base], path, body)
			}
		}
	}
	for _, path := range []string{"/principals", "/assignments", "/connections", "/subscriptions", "/vaults", "/certificates", "/lineages", "/requests", "/openapi.json"} {
		w.send(call{method: "GET", url: w.env["CHATELAINE_URL"] + "/api/v1" + path})
	}
}

// readTrail reads the whole audit trail in both shapes, and returns how many records it has.
func (w *world) readTrail() int {
	records := 0
	for _, path := range []string{"/audit/export", "/audit/export/azure"} {
		for after := "0"; ; {
			_, body := w.send(call{method: "GET", url: w.env["CHATELAINE_URL"] + "/api/v1" + path + "?limit=1000&after=" + after})
			var page struct {
				Items []json.RawMessage
				Next  string
			}
			if err := json.Unmarshal(body, &page); err != nil {
				w.t.Fatalf("%v: %.200s", err, body)
			}
			if records += len(page.Items); len(page.Items) == 0 || page.Next == after {
				break
			}
			after = page.Next
		}
	}
	if records < 2*fewest {
		w.t.Errorf("the trail has %d records", records)
	}
	return records
}

var link = regexp.MustCompile(`(?:href|src|hx-get|action)="(/[^"]*)"`)

// walkConsole follows every link of the console and returns how many pages there were.
func (w *world) walkConsole() int {
	var made struct{ Path string }
	if err := json.Unmarshal(w.api("POST", "/sign-in-links", `{}`, true), &made); err != nil {
		w.t.Fatal(err)
	}
	_, token, _ := strings.Cut(made.Path, "token=")
	cookie := w.session(token)
	w.keep("the walker's session", []byte(cookie))
	const most = 250
	seen, shapes := map[string]bool{"/": true}, map[string]int{}
	for queue := []string{"/"}; len(queue) > 0 && len(seen) < most*4; queue = queue[1:] {
		_, body := w.send(call{"GET", w.env["CHATELAINE_URL"] + queue[0], "", browser(w, "__Host-session="+cookie), false})
		for _, m := range link.FindAllSubmatch(body, -1) {
			path := strings.ReplaceAll(string(m[1]), "&amp;", "&")
			shape := regexp.MustCompile(`[0-9a-f-]{32,}|=[^&]*`).ReplaceAllString(path, "·")
			if seen[path] || strings.HasPrefix(path, "/sign-out") || shapes[shape] >= 8 {
				continue
			}
			seen[path] = true
			shapes[shape]++
			queue = append(queue, path)
		}
	}
	if len(seen) < 30 {
		w.t.Errorf("the console has only %d pages: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
	return len(seen)
}

// typeVerbs types what only looks, as an operator who is in doubt does.
func (w *world) typeVerbs() {
	for _, line := range []string{
		"vault list", "object versions default/secrets/s1", "audit list", "audit verify", "audit export", "access credentials", "access principals", "connection list", "subscription list",
		"certificate list", "lineage list", "request list", "authority list", "profile list", "campaign list", "endpoint list",
	} {
		args := strings.Fields(line)
		if out, err := exec.Command(w.program, append(args, "--help")...).CombinedOutput(); err != nil || !strings.Contains(string(out), "chatelaine "+strings.Join(args, " ")) {
			continue // not a verb of this program
		}
		w.cli(args...)
	}
}
