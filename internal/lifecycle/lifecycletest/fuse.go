package lifecycletest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/issuance"
)

// Fuse kills the process at one crossing of a seam: before or after a transaction, a call
// of the issuer, the vault, the inventory or a target. What was not committed by then is
// lost, what was done outside is done, and everything in memory is gone.
type Fuse struct {
	mu    sync.Mutex
	left  int
	Where string // the seam where it blew
}

// ErrKilled is what a killed process leaves.
var ErrKilled = errors.New("killed")

type killed struct{ where string }

// Arm makes the n-th crossing from now the last; 0 disarms.
func (f *Fuse) Arm(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.Where = n, ""
}

// Armed reports whether it has not blown yet.
func (f *Fuse) Armed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left > 0
}

func (f *Fuse) cross(where string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return
	}
	if f.left--; f.left == 0 {
		f.Where = where
		panic(killed{where})
	}
}

// Survive runs fn, and after a kill starts the process again and returns ErrKilled.
func (f *Fuse) Survive(t testing.TB, w *World, fn func() error) (err error) {
	t.Helper()
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, ok := p.(killed); !ok {
			panic(p)
		}
		w.Restart(t)
		err = ErrKilled
	}()
	return fn()
}

// fused crosses the fuse before and after a call.
func fused[T any](f *Fuse, name string, call func() (T, error)) (T, error) {
	f.cross("before " + name)
	v, err := call()
	f.cross("after " + name)
	return v, err
}

func fusedErr(f *Fuse, name string, call func() error) error {
	_, err := fused(f, name, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

type fusedVault struct {
	enrollment.Certificates
	fuse *Fuse
}

func (v fusedVault) Keep(ctx context.Context, c access.Caller, k lineage.Keep, b connector.Bundle) (string, error) {
	return fused(v.fuse, "keep", func() (string, error) { return v.Certificates.Keep(ctx, c, k, b) })
}

type fusedOrders struct {
	enrollment.Certificates
	fuse *Fuse
}

func (o fusedOrders) Deliver(ctx context.Context, c access.Caller, k lineage.Keep, order string, b connector.Bundle) (string, error) {
	return fused(o.fuse, "deliver", func() (string, error) { return o.Certificates.Deliver(ctx, c, k, order, b) })
}

type fusedInventory struct {
	*inventory.Service
	fuse *Fuse
}

func (i fusedInventory) Record(ctx context.Context, c access.Caller, o []inventory.Observation) (inventory.Recorded, error) {
	return fused(i.fuse, "inventory", func() (inventory.Recorded, error) { return i.Service.Record(ctx, c, o) })
}

type fusedIssuers struct{ w *World }

func (i fusedIssuers) Issuer(ctx context.Context, name string) (enrollment.Issuer, error) {
	if i.w.Issuer != nil {
		return fusedIssuer{i.w.Issuer, i.w.Fuse}, nil
	}
	own, err := enrollment.Authorities{Issuance: i.w.Issuance, Revocation: i.w.Revocation}.Issuer(ctx, name)
	return fusedOwn{fusedIssuer{own, i.w.Fuse}}, err
}

// fusedOwn is an authority of ours.
type fusedOwn struct{ fusedIssuer }

func (o fusedOwn) Certify(ctx context.Context, c access.Caller, q issuance.Request) (issuance.Result, error) {
	return fused(o.fuse, "certify", func() (issuance.Result, error) { return o.Issuer.(enrollment.Own).Certify(ctx, c, q) })
}

type fusedIssuer struct {
	enrollment.Issuer
	fuse *Fuse
}

func (i fusedIssuer) Issue(ctx context.Context, o connector.Order) (connector.Answer, error) {
	return fused(i.fuse, "issue", func() (connector.Answer, error) { return i.Issuer.Issue(ctx, o) })
}

func (i fusedIssuer) Collect(ctx context.Context, token string) (connector.Answer, error) {
	return fused(i.fuse, "collect", func() (connector.Answer, error) { return i.Issuer.Collect(ctx, token) })
}

func (i fusedIssuer) Revoke(ctx context.Context, r connector.Revocation) error {
	return fusedErr(i.fuse, "revoke", func() error { return i.Issuer.Revoke(ctx, r) })
}

type fusedTargets struct{ w *World }

func (t fusedTargets) Target(ctx context.Context, id string) (connector.Target, error) {
	target, err := t.w.Connections.Target(ctx, id)
	return fusedTarget{target, t.w.Fuse}, err
}

type fusedTarget struct {
	connector.Target
	fuse *Fuse
}

func (t fusedTarget) Prepare(ctx context.Context, d connector.Deployment) error {
	return fusedErr(t.fuse, "prepare", func() error { return t.Target.Prepare(ctx, d) })
}

func (t fusedTarget) Install(ctx context.Context, d connector.Deployment) error {
	return fusedErr(t.fuse, "install", func() error { return t.Target.Install(ctx, d) })
}

func (t fusedTarget) Activate(ctx context.Context, d connector.Deployment) error {
	return fusedErr(t.fuse, "activate", func() error { return t.Target.Activate(ctx, d) })
}

func (t fusedTarget) Verify(ctx context.Context, d connector.Deployment) error {
	return fusedErr(t.fuse, "verify", func() error { return t.Target.Verify(ctx, d) })
}

func (t fusedTarget) RollBack(ctx context.Context, d connector.Deployment) error {
	return fusedErr(t.fuse, "roll back", func() error { return t.Target.RollBack(ctx, d) })
}

func (t fusedTarget) Finish(ctx context.Context, d connector.Deployment) error {
	return fusedErr(t.fuse, "finish", func() error { return t.Target.Finish(ctx, d) })
}
