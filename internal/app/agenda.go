package app

import (
	"context"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
)

// plansSetting holds the names of the planners that made the table of due times.
const plansSetting = "vault/plans"

// rebuildAgenda is the work of asking every object anew what is due for it, after an
// upgrade that plans otherwise.
type rebuildAgenda struct {
	Plans string
}

// Kind implements job.Args.
func (rebuildAgenda) Kind() string { return "vault.rebuild-dues" }

// Limit implements job.Long: every object is read.
func (rebuildAgenda) Limit() time.Duration { return 6 * time.Hour }

// planAnew asks for a rebuild where the planners are others than at the last one.
func (a *App) planAnew(ctx context.Context) error {
	plans := a.registry.Plans()
	last, err := a.settings.Get(ctx, plansSetting)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if string(last) == plans {
		return nil
	}
	return a.jobs.Enqueue(ctx, rebuildAgenda{Plans: plans}, job.Options{Unique: true})
}

func (a *App) handleRebuildAgenda(ctx context.Context, args rebuildAgenda) error {
	if args.Plans != a.registry.Plans() {
		return nil // of another program, which asks again when it starts
	}
	if err := a.agenda.Rebuild(ctx); err != nil {
		return err
	}
	return a.settings.Put(ctx, plansSetting, []byte(args.Plans))
}
