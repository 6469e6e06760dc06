package lineage

import (
	"context"
	"encoding/json"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// Bounds of a lineage.
const (
	maxTargets   = 50
	maxEndpoints = 50 // of one target
	maxText      = 200
)

// defaultKey is what a lineage has when nobody says.
const defaultKey = "P-256"

var targetID = regexp.MustCompile(`^[A-Za-z0-9-]{1,40}$`)

// complete fills in what may be left out.
func (l *Lineage) complete() {
	if l.Key == "" {
		l.Key = defaultKey
	}
	l.Targets = append([]Target{}, l.Targets...) // never null in JSON, and not the caller's
	for i := range l.Targets {
		t := &l.Targets[i]
		if t.ID == "" {
			t.ID = "target-" + strconv.Itoa(i+1)
		}
		if t.Place == nil {
			t.Place = map[string]any{}
		}
		t.Endpoints = append([]Endpoint{}, t.Endpoints...)
	}
}

// check refuses a lineage that could not work, or that its writer may not make.
func (s *Service) check(ctx context.Context, c access.Caller, l Lineage, operation string) error {
	if err := l.checkTexts(); err != nil {
		return err
	}
	if err := l.Rule.check(); err != nil {
		return err
	}
	if _, err := l.KeySpec(); err != nil {
		return err
	}
	if _, err := s.Policy.Check(l.Wanted, s.Now()); err != nil {
		return err
	}
	if err := s.Vaults.MayImport(ctx, c, object.Ref{Vault: l.Keep.Vault, Name: l.Keep.Name}); err != nil {
		return err
	}
	return s.checkTargets(ctx, c, l.Targets, operation)
}

func (l Lineage) checkTexts() error {
	switch {
	case !plain(l.Name) || l.Name == "":
		return fault.New(fault.Invalid, "InvalidName", "a lineage's name has 1 to %d printable characters", maxText)
	}
	if err := CheckOwner(l.Owner); err != nil {
		return err
	}
	if err := object.CheckVaultName(l.Keep.Vault); err != nil {
		return err
	}
	return object.CheckName(l.Keep.Name)
}

// CheckOwner refuses a text that names nobody whom people could read.
func CheckOwner(owner string) error {
	if !plain(owner) {
		return fault.New(fault.Invalid, "InvalidOwner", "an owner has up to %d printable characters", maxText)
	}
	return nil
}

// KeySpec is the key that the lineage's certificates have.
func (w Wanted) KeySpec() (keystore.Spec, error) {
	s := keystore.Spec{Type: keystore.EC, Curve: w.Key}
	if bits, ok := strings.CutPrefix(w.Key, "RSA "); ok {
		n, err := strconv.Atoi(bits)
		if err != nil {
			n = 0
		}
		s = keystore.Spec{Type: keystore.RSA, Bits: n}
	}
	return s, s.CheckX509()
}

func plain(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxText && strings.TrimSpace(s) == s &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// checkTargets checks places and endpoints, and that the writer may use the connections.
func (s *Service) checkTargets(ctx context.Context, c access.Caller, targets []Target, operation string) error {
	if len(targets) > maxTargets {
		return fault.New(fault.Invalid, "TooManyTargets", "a lineage has at most %d targets", maxTargets)
	}
	seen := map[string]bool{}
	for _, t := range targets {
		if !targetID.MatchString(t.ID) || seen[t.ID] {
			return fault.New(fault.Invalid, "InvalidTarget", "target id %.64q: want letters, digits and dashes, and each once", t.ID)
		}
		seen[t.ID] = true
		if len(t.Endpoints) > maxEndpoints {
			return fault.New(fault.Invalid, "TooManyEndpoints", "target %s has more than %d endpoints", t.ID, maxEndpoints)
		}
		for _, e := range t.Endpoints {
			if err := e.check(); err != nil {
				return err
			}
		}
		if err := s.Guard.Authorize(ctx, c, useConnection, access.Scope("/connections/"+t.Connection), operation); err != nil {
			return err
		}
		place, err := t.PlaceSettings()
		if err != nil {
			return err
		}
		if err := s.Connections.CheckPlace(ctx, t.Connection, place); err != nil {
			return err
		}
	}
	return nil
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$`)

func (e Endpoint) check() error {
	_, ipErr := netip.ParseAddr(e.IP)
	_, hostErr := netip.ParseAddr(e.Host)
	switch {
	case e.Port < 1 || e.Port > 65535:
		return fault.New(fault.Invalid, "InvalidEndpoint", "an endpoint's port is 1 to 65535, not %d", e.Port)
	case e.Host == "" && e.IP == "":
		return fault.New(fault.Invalid, "InvalidEndpoint", "an endpoint needs a host or an address")
	case e.IP != "" && ipErr != nil:
		return fault.New(fault.Invalid, "InvalidEndpoint", "%.64q is no IP address", e.IP)
	case e.Host != "" && hostErr != nil && !hostForm.MatchString(e.Host):
		return fault.New(fault.Invalid, "InvalidEndpoint", "%.64q is no host", e.Host)
	case e.SNI != "" && !hostForm.MatchString(e.SNI):
		return fault.New(fault.Invalid, "InvalidEndpoint", "%.64q is no name to ask for", e.SNI)
	}
	return nil
}

func encode(place map[string]any) (connector.Settings, error) {
	b, err := json.Marshal(place)
	if err != nil {
		return nil, fault.New(fault.Invalid, "InvalidTarget", "a target's place is a JSON object")
	}
	return b, nil
}
