// Package desk is what the doors for machines share: a wish goes the direct road, and a
// client that comes back for what it waits for is known again. Who may wish for what is
// decided before, by the door's service.
package desk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/passcode"
)

// Road is the direct road; *enrollment.Service is it.
type Road interface {
	Enroll(ctx context.Context, c access.Caller, a enrollment.Ask) (enrollment.Enrolled, error)
	Collect(ctx context.Context, c access.Caller, request string) (enrollment.Enrolled, error)
}

// Passcodes takes one-time passwords; *passcode.Service is one.
type Passcodes interface {
	Spend(ctx context.Context, u passcode.Use) (passcode.Passcode, error)
	Release(ctx context.Context, id string) error
}

// Waiting remembers which request a client comes back for. Wait joins the transaction of ctx.
type Waiting interface {
	Wait(ctx context.Context, key, request string, now time.Time) error
	// Waiting returns the request, or fault.NotFound.
	Waiting(ctx context.Context, key string) (string, error)
	Waited(ctx context.Context, key string) error
}

// Desk takes wishes.
type Desk struct {
	Road      Road
	Passcodes Passcodes
	Waiting   Waiting
	Now       func() time.Time
}

// Wish is what a client may have.
type Wish struct {
	enrollment.Ask
	Passcode string // id of the one-time password that was taken for it; may be empty
	Again    string // the key of the same wish, while it is not decided
	Always   string // a key by which the request is found afterwards too; may be empty
}

// Key is what a client must show again, in parts.
func Key(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])
}

// Ask takes the direct road. A one-time password is good again when the wish was refused
// for what it says: the client can mend its CSR.
func (d Desk) Ask(ctx context.Context, c access.Caller, w Wish) (enrollment.Enrolled, error) {
	if w.Passcode != "" {
		w.Once = "passcode/" + w.Passcode
	}
	w.Also = func(ctx context.Context, made enrollment.Enrolled) error {
		now := d.Now()
		if made.State != enrollment.Completed {
			if err := d.Waiting.Wait(ctx, w.Again, made.Request, now); err != nil {
				return err
			}
		}
		if w.Always == "" {
			return nil
		}
		return d.Waiting.Wait(ctx, w.Always, made.Request, now)
	}
	made, err := d.Road.Enroll(ctx, c, w.Ask)
	if w.Passcode != "" && fault.Is(err, fault.Invalid) { // nothing was issued for it
		if releaseErr := d.Passcodes.Release(ctx, w.Passcode); releaseErr != nil {
			return enrollment.Enrolled{}, releaseErr
		}
	}
	return made, err
}

// Again returns what became of the wish with a key, or fault.NotFound. Once it is decided,
// the same is a new wish.
func (d Desk) Again(ctx context.Context, c access.Caller, key string) (enrollment.Enrolled, error) {
	made, err := d.Find(ctx, c, key)
	if err == nil && !made.State.Live() {
		err = d.Waiting.Waited(ctx, key)
	}
	return made, err
}

// Find returns what became of the request with a key, or fault.NotFound.
func (d Desk) Find(ctx context.Context, c access.Caller, key string) (enrollment.Enrolled, error) {
	request, err := d.Waiting.Waiting(ctx, key)
	if err != nil {
		return enrollment.Enrolled{}, err
	}
	return d.Road.Collect(ctx, c, request)
}
