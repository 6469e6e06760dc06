package policy

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"chatelaine.dev/internal/access"
)

// EvaluateArgs ask for a new judgement of the whole inventory. Enqueue one a day: time
// alone makes certificates expire, and limits come into force.
type EvaluateArgs struct{}

// Kind implements job.Args.
func (EvaluateArgs) Kind() string { return "policy.evaluate" }

// Limit implements job.Long: ten million certificates take hours.
func (EvaluateArgs) Limit() time.Duration { return 20 * time.Hour }

// Inventory is what an evaluation needs of it; inventory.Service is one.
type Inventory interface {
	// Rejudge renews the verdicts on some certificates after the given one, and returns
	// where to go on, "" at the end.
	Rejudge(ctx context.Context, c access.Caller, after string) (next string, n int, err error)
}

// Evaluation is the work of policy.evaluate.
type Evaluation struct {
	Inventory Inventory
	Log       *slog.Logger
}

// Handle judges every certificate again. A run that was interrupted begins anew, which
// changes nothing that was judged already.
func (e *Evaluation) Handle(ctx context.Context, _ EvaluateArgs) error {
	caller := access.System("policy")
	judged, after := 0, ""
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		next, n, err := e.Inventory.Rejudge(ctx, caller, after)
		if err != nil {
			return fmt.Errorf("evaluate policy after %q: %w", after, err)
		}
		judged += n
		if after = next; next == "" {
			e.Log.Info("policy evaluated", "certificates", judged)
			return nil
		}
	}
}
