package console_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

func TestWhatDidNotArriveIsOnThePageAndCanBeSentAgain(t *testing.T) {
	p := apptest.Start(t, func(c *config.Config) { c.Webhooks = config.Webhooks{Allow: []string{"127.0.0.1"}, PlainHTTP: true} })
	var down atomic.Bool
	came := make(chan struct{}, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			w.Header().Set("WebHook-Allowed-Origin", "*")
			return
		}
		if down.Load() {
			w.WriteHeader(http.StatusBadRequest)
		}
		came <- struct{}{}
	}))
	defer hook.Close()
	s, err := p.Subscriptions.Create(t.Context(), apptest.System, subscription.Draft{
		Name: "rotation", Endpoint: access.NewSecret(hook.URL + "/hook?code=canary-77ab"),
		Filter: subscription.Filter{Source: "/vaults", Types: []string{"Microsoft.KeyVault.*"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	admin := administrator(t, p)
	down.Store(true)
	if _, err := p.Secrets.Set(t.Context(), apptest.System, object.Ref{Vault: "default", Name: "db"}, secrets.SetRequest{Value: "v"}); err != nil {
		t.Fatal(err)
	}
	<-came
	there := "/subscriptions/" + s.ID
	failed := admin.post(there + "/test").Header.Get("Location")
	<-came

	list := admin.reads("/subscriptions", "rotation", "active")
	one := admin.reads(failed, "The endpoint took no event", "Secret new version created: db", "400 Bad Request", "Send them again")
	down.Store(false)
	admin.reads(admin.post(there+"/redeliver").Header.Get("Location"), "on their way again")
	<-came

	if strings.Contains(list.body+one.body, "canary-77ab") {
		t.Error("a page shows the token of the endpoint")
	}
	other := colleague(t, p, "Cleo", "Requester")
	for _, path := range []string{"/subscriptions", there} {
		if a := other.do(http.MethodGet, path, nil); a.StatusCode != http.StatusForbidden {
			t.Errorf("a requester gets %s: %d", path, a.StatusCode)
		}
	}
}
