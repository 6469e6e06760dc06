package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// The whole way of an event: from a secret that is set to a receiver for Event Grid whose
// owner has agreed by the link.
func TestEventReachesAReceiverThatWasAgreedForByHand(t *testing.T) {
	p := apptest.Start(t, func(c *config.Config) { c.Webhooks = config.Webhooks{Allow: []string{"127.0.0.1"}, PlainHTTP: true} })
	requests := make(chan []byte, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- body
	}))
	defer hook.Close()
	receive := func() map[string]any {
		t.Helper()
		select {
		case body := <-requests:
			var events []map[string]any
			if err := json.Unmarshal(body, &events); err != nil || len(events) != 1 {
				t.Fatalf("%s: %v", body, err)
			}
			return events[0]
		case <-time.After(20 * time.Second):
			t.Fatal("nothing came")
			return nil
		}
	}
	s, err := p.Subscriptions.Create(t.Context(), apptest.System, subscription.Draft{
		Name: "orders", Endpoint: access.NewSecret(hook.URL), Schema: subscription.EventGrid,
		Filter: subscription.Filter{Source: "/vaults/default", Types: []string{"Microsoft.KeyVault.Secret*"}},
	})
	if err != nil || s.State != subscription.Pending {
		t.Fatalf("%+v %v", s, err)
	}
	asked := receive()
	if asked["eventType"] != "Microsoft.EventGrid.SubscriptionValidationEvent" {
		t.Fatalf("asked by %v", asked)
	}
	link := asked["data"].(map[string]any)["validationUrl"].(string)

	for method, target := range map[string]string{
		http.MethodGet:    strings.Replace(link, "code=", "code=x", 1),
		http.MethodPost:   strings.Replace(link, s.ID, "00000000-0000-4000-8000-000000000000", 1),
		http.MethodDelete: link,
	} {
		if status, body := visit(t, p, method, target); status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d %s", method, target, status, body)
		}
	}
	if status, body := visit(t, p, http.MethodGet, link); status != http.StatusOK {
		t.Fatalf("%s: %d %s", link, status, body)
	}
	if status, _ := visit(t, p, http.MethodGet, link); status != http.StatusNotFound {
		t.Errorf("the link works twice: %d", status)
	}
	e, err := p.Secrets.Set(t.Context(), apptest.System, object.Ref{Vault: "default", Name: "Db"}, secrets.SetRequest{Value: "canary-91b4"})
	if err != nil {
		t.Fatal(err)
	}

	got := receive()
	data, _ := got["data"].(map[string]any)
	topic, _ := got["topic"].(string)
	if got["eventType"] != "Microsoft.KeyVault.SecretNewVersionCreated" || got["subject"] != "Db" || !strings.HasPrefix(topic, "/subscriptions/") ||
		!strings.HasSuffix(topic, "/providers/Microsoft.KeyVault/vaults/default") ||
		data["Id"] != fmt.Sprintf("%s/secrets/Db/%s", p.VaultURL("default"), e.Version.ID) || data["ObjectType"] != "Secret" || data["Version"] != e.Version.ID {
		t.Errorf("got %v", got)
	}
	if strings.Contains(fmt.Sprint(got), "canary-91b4") {
		t.Error("the event tells the secret")
	}
}

// visit opens an address of the product without any token.
func visit(t *testing.T, p *apptest.Product, method, address string) (int, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, p.URL+"/") {
		t.Fatalf("the link %s is not to %s: %v", address, p.URL, err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
