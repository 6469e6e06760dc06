package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// hook is a webhook. It agrees to be sent events unless there is a file "stubborn" in
// the script's folder, and refuses each one while there is a file "down".
type hook struct {
	folder string
	took   chan string
}

type hookKey struct{}

func startHook(t testing.TB, folder string) (*hook, string) {
	h := &hook{folder, make(chan string, 10_000)}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return h, s.URL + "/hook?code=canary-5e1f"
}

func (h *hook) there(name string) bool {
	_, err := os.Stat(filepath.Join(h.folder, name))
	return err == nil
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.Method == http.MethodOptions || r.Header.Get("aeg-event-type") == "SubscriptionValidation":
		if h.there("stubborn") {
			return
		}
		w.Header().Set("WebHook-Allowed-Origin", "*")
		var events []struct {
			Data struct{ ValidationCode string }
		}
		if json.Unmarshal(body, &events) == nil && len(events) == 1 {
			_ = json.NewEncoder(w).Encode(map[string]string{"validationResponse": events[0].Data.ValidationCode})
		}
	case h.there("down"):
		w.WriteHeader(http.StatusBadRequest)
		h.took <- "refused " + string(body)
	default:
		h.took <- string(body)
	}
}

// arrived waits until the webhook was sent what matches a pattern.
func arrived(ts *testscript.TestScript, _ bool, args []string) {
	h := ts.Value(hookKey{}).(*hook)
	want := regexp.MustCompile(args[0])
	patience := time.After(20 * time.Second)
	var seen []string
	for {
		select {
		case body := <-h.took:
			if want.MatchString(body) {
				return
			}
			seen = append(seen, body)
		case <-patience:
			ts.Fatalf("the webhook was sent nothing that matches %s, but %s", args[0], strings.Join(seen, "\n"))
		}
	}
}
