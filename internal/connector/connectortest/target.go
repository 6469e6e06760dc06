// Package connectortest proves that a connector keeps the contract of its kind. Each
// connector's tests call the suite of every kind that it offers.
package connectortest

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
)

// Target is what the suite needs of a target.
type Target struct {
	// New makes a connector to a fresh other side that serves nothing at Place.
	New func(t *testing.T) TargetUnderTest
}

// TargetUnderTest is a target with a view of the other side that does not go through it.
type TargetUnderTest struct {
	connector.Target
	Place connector.Settings
	// Installed returns the certificate (DER) at Place, nil where there is none.
	Installed func(t *testing.T) []byte
	// Active returns the certificate that the other side uses. It changes with Activate and
	// RollBack only; nil where nothing was activated.
	Active func(t *testing.T) []byte
}

// Run runs the suite.
func (s Target) Run(t *testing.T) {
	ca := NewAuthority(t)
	old, young := ca.Bundle(t, "old.example"), ca.Bundle(t, "young.example")
	for name, test := range map[string]func(*testing.T, *harness){
		"CheckChangesNothing":                 testCheckChangesNothing,
		"PrepareChangesNothing":               testPrepareChangesNothing,
		"DeploymentIsInstalledAndUsed":        testDeployed,
		"EveryStageMayRunTwice":               testTwice,
		"RollBackBringsBackWhatWasThere":      testRollBack,
		"RollBackOfTheFirstLeavesNothing":     testRollBackOfFirst,
		"RollBackWithoutInstallDoesNothing":   testRollBackWithoutInstall,
		"RollBackAfterFinishDoesNothing":      testRollBackAfterFinish,
		"VerifySeesAnotherCertificate":        testVerifySeesAnother,
		"UnknownSettingsOfAPlaceAreRefused":   testPlaceRefused,
		"ErrorsNeverHoldTheKey":               testErrorsHoldNoKey,
		"RolledBackDeploymentMayBeTriedAgain": testTriedAgain,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, &harness{TargetUnderTest: s.New(t), old: old, young: young})
		})
	}
}

type harness struct {
	TargetUnderTest
	old, young connector.Bundle
}

func (h *harness) deployment(id string, b connector.Bundle) connector.Deployment {
	return connector.Deployment{ID: id, Place: h.Place, Bundle: b}
}

// deploy runs all stages.
func (h *harness) deploy(t *testing.T, d connector.Deployment) {
	t.Helper()
	for _, stage := range []func(context.Context, connector.Deployment) error{h.Prepare, h.Install, h.Activate, h.Verify, h.Finish} {
		must(t, stage(t.Context(), d))
	}
}

// holds checks what is installed and what is used.
func (h *harness) holds(t *testing.T, want []byte) {
	t.Helper()
	if got := h.Installed(t); !bytes.Equal(got, want) {
		t.Errorf("installed is %s, want %s", nameOf(got), nameOf(want))
	}
	if got := h.Active(t); !bytes.Equal(got, want) {
		t.Errorf("used is %s, want %s", nameOf(got), nameOf(want))
	}
}

func testCheckChangesNothing(t *testing.T, h *harness) {
	must(t, h.Check(t.Context()))

	h.holds(t, nil)
}

func testPrepareChangesNothing(t *testing.T, h *harness) {
	h.deploy(t, h.deployment("one", h.old))

	must(t, h.Prepare(t.Context(), h.deployment("two", h.young)))

	h.holds(t, h.old.Certificate)
}

func testDeployed(t *testing.T, h *harness) {
	h.deploy(t, h.deployment("one", h.old))
	h.holds(t, h.old.Certificate)

	h.deploy(t, h.deployment("two", h.young))

	h.holds(t, h.young.Certificate)
}

func testTwice(t *testing.T, h *harness) {
	h.deploy(t, h.deployment("one", h.old))
	d := h.deployment("two", h.young)
	for _, stage := range []func(context.Context, connector.Deployment) error{h.Prepare, h.Install, h.Install, h.Activate, h.Activate, h.Verify, h.Verify} {
		must(t, stage(t.Context(), d))
	}
	h.holds(t, h.young.Certificate)

	// What Install kept at its first run must not have been overwritten by the second.
	must(t, h.RollBack(t.Context(), d))
	must(t, h.RollBack(t.Context(), d))
	h.holds(t, h.old.Certificate)

	h.deploy(t, d)
	must(t, h.Finish(t.Context(), d))
	h.holds(t, h.young.Certificate)
}

func testRollBack(t *testing.T, h *harness) {
	h.deploy(t, h.deployment("one", h.old))
	d := h.deployment("two", h.young)
	must(t, h.Install(t.Context(), d))
	must(t, h.Activate(t.Context(), d))

	must(t, h.RollBack(t.Context(), connector.Deployment{ID: d.ID, Place: d.Place}))

	h.holds(t, h.old.Certificate)
}

func testRollBackOfFirst(t *testing.T, h *harness) {
	d := h.deployment("one", h.old)
	must(t, h.Install(t.Context(), d))

	must(t, h.RollBack(t.Context(), d))

	if got := h.Installed(t); got != nil {
		t.Errorf("installed is %s, want nothing", nameOf(got))
	}
}

func testRollBackWithoutInstall(t *testing.T, h *harness) {
	h.deploy(t, h.deployment("one", h.old))

	must(t, h.RollBack(t.Context(), h.deployment("two", h.young)))

	h.holds(t, h.old.Certificate)
}

func testRollBackAfterFinish(t *testing.T, h *harness) {
	h.deploy(t, h.deployment("one", h.old))
	d := h.deployment("two", h.young)
	h.deploy(t, d)

	must(t, h.RollBack(t.Context(), d))

	h.holds(t, h.young.Certificate)
}

func testVerifySeesAnother(t *testing.T, h *harness) {
	d := h.deployment("two", h.young)
	if h.Verify(t.Context(), d) == nil {
		t.Error("verified where nothing is installed")
	}
	h.deploy(t, h.deployment("one", h.old))

	if h.Verify(t.Context(), d) == nil {
		t.Error("verified where another certificate is installed")
	}
}

func testPlaceRefused(t *testing.T, h *harness) {
	d := h.deployment("one", h.old)
	d.Place = connector.Settings(`{"no such setting":1}`)
	for name, stage := range map[string]func(context.Context, connector.Deployment) error{
		"prepare": h.Prepare, "install": h.Install, "roll back": h.RollBack, "finish": h.Finish,
	} {
		if err := stage(t.Context(), d); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
	}
}

func testErrorsHoldNoKey(t *testing.T, h *harness) {
	d := h.deployment("one", h.old)
	d.Key = h.young.Key // of another certificate

	for _, stage := range []func(context.Context, connector.Deployment) error{h.Prepare, h.Install, h.Verify} {
		if err := stage(t.Context(), d); err != nil && strings.Contains(err.Error(), string(h.young.Key.Reveal())) {
			t.Error("an error holds the private key")
		}
	}
}

func testTriedAgain(t *testing.T, h *harness) {
	h.deploy(t, h.deployment("one", h.old))
	d := h.deployment("two", h.young)
	must(t, h.Install(t.Context(), d))
	must(t, h.RollBack(t.Context(), d))

	h.deploy(t, d)

	h.holds(t, h.young.Certificate)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
