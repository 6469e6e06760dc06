package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/vault/object"
)

// feedInventory subscribes the inventory to what our own vaults and authorities do, so
// that their certificates are known without a scan.
func (a *App) feedInventory() {
	a.events.Subscribe(event.Subscriber{
		Name: "inventory.vaults", Types: []string{"Microsoft.KeyVault.CertificateNewVersionCreated"}, Handle: a.keptInVault,
	})
	a.events.Subscribe(event.Subscriber{Name: "inventory.issued", Types: []string{"Chatelaine.CertificateIssued"}, Handle: a.issued, Within: a.issuedNow})
	a.events.Subscribe(event.Subscriber{Name: "inventory.revoked", Types: []string{"Chatelaine.CertificateRevoked", "Chatelaine.CertificateReleased"}, Handle: a.revoked})
}

// feed is who keeps the inventory.
var feed = access.System("inventory")

// keptInVault records a version of a vault's certificate.
func (a *App) keptInVault(ctx context.Context, e event.Event) error {
	var d struct{ VaultName, ObjectName, Version string }
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return err
	}
	cert, err := a.Certificates.Get(ctx, feed, object.Ref{Vault: d.VaultName, Name: d.ObjectName, Version: d.Version})
	if fault.Is(err, fault.NotFound) {
		return nil // deleted since
	}
	if err != nil {
		return err
	}
	return a.see(ctx, inventory.Place{Source: "vault/" + d.VaultName, Path: "certificates/" + strings.ToLower(d.ObjectName)}, e.Time, cert.Body.Certificate, cert.Body.Chain)
}

// issued records what one of our authorities issued.
func (a *App) issued(ctx context.Context, e event.Event) error {
	return a.issuedTogether(ctx, []event.Event{e})
}

// issuedNow is issuedTogether within the commit. While the product opens and makes its first
// authorities, the inventory is not there yet.
func (a *App) issuedNow(ctx context.Context, list []event.Event) error {
	if a.lifecycleFloor == nil {
		return event.ErrLater
	}
	return a.issuedTogether(ctx, list)
}

// issuedTogether records what our authorities issued in one commit, at no place: where it
// is installed is for others to find.
func (a *App) issuedTogether(ctx context.Context, list []event.Event) error {
	var seen []inventory.Observation
	var requests []string
	keys := map[string]string{}
	for _, e := range list {
		var d struct{ Authority, Serial, Profile string }
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return err
		}
		if d.Profile == ocsp.SignerProfile { // lives in this process alone, and is replaced by itself
			continue
		}
		made, err := a.Issuance.Get(ctx, feed, d.Authority, d.Serial)
		if err != nil {
			return err
		}
		if len(made.DER) > 0 {
			key, known := keys[d.Authority]
			if !known {
				key = a.keyOf(ctx, d.Authority)
				keys[d.Authority] = key
			}
			seen = append(seen, inventory.Observation{
				Place: inventory.Place{Source: "authority/" + d.Authority}, State: inventory.Present, DER: made.DER, SignerKey: key, At: e.Time,
			})
		}
		if made.Request != "" {
			requests = append(requests, made.Request)
		}
	}
	return a.db.Transact(ctx, func(ctx context.Context) error {
		if len(seen) > 0 {
			if _, err := a.Inventory.Record(ctx, feed, seen); err != nil {
				return err
			}
		}
		for _, r := range requests {
			if err := a.Requests.Seen(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// keyOf tells which key an authority checks its signatures with when it makes them; nothing
// where it cannot be asked.
func (a *App) keyOf(ctx context.Context, authority string) string {
	i, err := a.Authorities.Issuer(ctx, authority)
	if err != nil || i.Certificate == nil {
		return ""
	}
	sum := sha256.Sum256(i.Certificate.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

func (a *App) see(ctx context.Context, p inventory.Place, at time.Time, der []byte, chain [][]byte) error {
	if len(der) == 0 {
		return nil
	}
	_, err := a.Inventory.Record(ctx, feed, []inventory.Observation{{Place: p, State: inventory.Present, DER: der, Chain: chain, At: at}})
	return err
}

// revoked marks what one of our authorities revoked, put on hold or released, as it is by
// now: events may come late. A certificate that the inventory does not know yet fails and
// is tried again, after it was recorded.
func (a *App) revoked(ctx context.Context, e event.Event) error {
	var d struct{ SHA256, Authority, Serial string }
	if err := json.Unmarshal(e.Data, &d); err != nil || d.SHA256 == "" {
		return err // a serial that was never issued has no certificate
	}
	c, err := a.Issuance.Get(ctx, feed, d.Authority, d.Serial)
	if err != nil {
		return err
	}
	if c.Profile == ocsp.SignerProfile {
		return nil
	}
	if c.State != issuance.Revoked {
		return a.Inventory.MarkReleased(ctx, c.SHA256)
	}
	return a.Inventory.MarkRevoked(ctx, c.SHA256, c.RevokedAt, c.Reason)
}
