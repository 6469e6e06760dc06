package acme

import "context"

// PruneArgs is the work of forgetting what is over: orders and authorizations that
// expired, certificates that ended a month ago, windows of last year.
type PruneArgs struct{}

// Kind implements job.Args.
func (PruneArgs) Kind() string { return "acme.prune" }

// HandlePrune does that work, some at a time so that others may write in between.
func (s *Service) HandlePrune(ctx context.Context, _ PruneArgs) error {
	const some, rounds = 1000, 1000
	for range rounds {
		n, err := s.Orders.Prune(ctx, s.Now(), some)
		if err != nil {
			return err
		}
		if n < some {
			break
		}
	}
	return s.Keys.DeleteWindows(ctx, s.Now().Add(-windowMemory))
}
