// Package app is the composition root: a configuration in, the running product out. It
// is the only place that knows every other; end-to-end tests start it too.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"chatelaine.dev/internal/app/dir"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/policy"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/pki/review"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/vault/object"
)

// Config is what an App needs.
type Config struct {
	config.Config
	Log *slog.Logger
	// Now is the clock; nil is the machine's.
	Now func() time.Time
}

// App is the running product.
type App struct {
	cfg Config
	now func() time.Time
	log *slog.Logger
	dir *dir.Dir

	*core
	*vaultFloor
	*pkiFloor
	*lifecycleFloor
	Subscriptions *subscription.Service
	listeners     listeners
	doors         *doors

	link string // one-time console sign-in
}

// Open starts everything and returns when requests are answered. On an empty data folder
// it makes what is missing. Call Run, or Close.
func Open(ctx context.Context, c Config) (a *App, err error) {
	a = &App{cfg: c, now: c.Now, log: c.Log}
	if a.now == nil {
		a.now = time.Now
	}
	if a.dir, err = dir.Open(c.Data); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
			a = nil
		}
	}()
	if a.core, err = a.openCore(ctx); err != nil {
		return a, err
	}
	listeners, err := a.listen(ctx)
	if err != nil {
		return a, err
	}
	a.listeners = listeners
	if a.vaultFloor, err = a.openVaults(ctx); err != nil {
		return a, fmt.Errorf("vault: %w", err)
	}
	a.feedInventory() // before the first event
	if a.Subscriptions, err = a.openSubscriptions(ctx, listeners); err != nil {
		return a, fmt.Errorf("subscriptions: %w", err)
	}
	if a.pkiFloor, err = a.openPKI(ctx, listeners); err != nil {
		return a, fmt.Errorf("CA: %w", err)
	}
	if a.lifecycleFloor, err = a.openLifecycle(ctx); err != nil {
		return a, fmt.Errorf("control plane: %w", err)
	}
	if err := a.openACME(ctx); err != nil {
		return a, fmt.Errorf("ACME: %w", err)
	}
	if err := a.bootstrap(ctx, listeners); err != nil {
		return a, fmt.Errorf("bootstrap: %w", err)
	}
	// Whoever is ready has CRLs: the first certificate may be checked at once.
	if err := a.Revocation.RebuildDue(ctx); err != nil {
		a.log.Error("publish CRLs", "error", err) // tried again every minute
	}
	if err := a.work(ctx); err != nil {
		return a, err
	}
	if a.doors, err = a.openDoors(ctx, listeners); err != nil {
		return a, err
	}
	a.doors.ready.Store(true)
	a.keystore.Start()
	return a, nil
}

// work registers who does which job and starts the queue.
func (a *App) work(ctx context.Context) error {
	job.Handle(a.jobs, a.events.Deliver)
	job.Handle(a.jobs, a.events.Prune)
	job.Handle(a.jobs, a.Subscriptions.HandleTidy)
	job.Handle(a.jobs, func(ctx context.Context, _ sessionPurge) error { return a.sessions.Purge(ctx) })
	job.Handle(a.jobs, func(ctx context.Context, _ retentionSweep) error { return a.sweeper.Sweep(ctx) })
	job.Handle(a.jobs, a.agenda.HandleDue)
	job.Handle(a.jobs, a.handleRebuildAgenda)
	job.Handle(a.jobs, a.mail.HandleSend)
	job.Handle(a.jobs, a.HSMBackups.HandleRun)
	job.Handle(a.jobs, a.Revocation.HandleRebuild)
	job.Handle(a.jobs, a.Revocation.HandleSweep)
	job.Handle(a.jobs, a.ACME.HandlePrune)
	job.Handle(a.jobs, a.handleReview)
	job.Handle(a.jobs, a.Reviews.Scheduled)
	job.Handle(a.jobs, a.Requests.HandleRun)
	job.Handle(a.jobs, a.Requests.HandleSweep)
	job.Handle(a.jobs, a.Deployments.HandleRun)
	job.Handle(a.jobs, a.Deployments.HandleSweep)
	job.Handle(a.jobs, a.Renewal.HandleTick)
	job.Handle(a.jobs, a.Discovery.HandleRun)
	job.Handle(a.jobs, a.Discovery.HandleSchedule)
	job.Handle(a.jobs, (&policy.Evaluation{Inventory: a.Inventory, Log: a.log}).Handle)
	for args, period := range map[job.Args]time.Duration{
		event.Pruning{}:          day,
		subscription.TidyArgs{}:  10 * time.Minute,
		sessionPurge{}:           time.Hour,
		retentionSweep{}:         time.Minute,
		object.DueArgs{}:         time.Minute,
		revocation.RebuildArgs{}: time.Minute,
		policy.EvaluateArgs{}:    day,
		acme.PruneArgs{}:         time.Hour,
		review.Schedule{}:        day,
		enrollment.SweepArgs{}:   time.Minute,
		deployment.SweepArgs{}:   time.Minute,
		renewal.TickArgs{}:       time.Minute,
		discovery.ScheduleArgs{}: time.Minute,
	} {
		if err := a.jobs.Every(period, args); err != nil {
			return err
		}
	}
	if err := a.jobs.Start(ctx); err != nil {
		return err
	}
	return a.planAnew(ctx)
}

// sessionPurge is the work of forgetting console sessions that have ended.
type sessionPurge struct{}

// Kind implements job.Args.
func (sessionPurge) Kind() string { return "access.purge-sessions" }

// drain is how long running requests and jobs have when the server stops.
const drain = 20 * time.Second

// Run works until ctx ends or storage fails, then drains and closes. It returns nil
// after an orderly end.
func (a *App) Run(ctx context.Context) error {
	var cause error
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	pause := time.NewTicker(time.Minute)
	defer pause.Stop()
	collections := rest(0)
loop:
	for {
		select {
		case <-ctx.Done():
			break loop
		case <-a.db.Failed():
			cause = fault.New(fault.Unavailable, "StorageFailed", "storage failed; what was acknowledged is on the disk, restart to go on")
			break loop
		case err := <-a.doors.failed:
			cause = err
			break loop
		case <-tick.C:
			a.housekeep(ctx)
			a.OCSP.Renew(ctx)
		case <-look.C:
			a.catchUp(ctx)
		case <-pause.C:
			collections = rest(collections)
		}
	}
	return errors.Join(cause, a.Close())
}

// Close drains and closes whatever was opened, in the opposite order.
func (a *App) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	var errs []error
	if a.doors != nil {
		errs = append(errs, a.doors.close(ctx))
	}
	if a.vaultFloor != nil {
		a.keystore.Stop()
	}
	if a.Subscriptions != nil {
		a.Subscriptions.Stop()
	}
	if a.core != nil {
		errs = append(errs, a.core.close(ctx, a))
	}
	return errors.Join(append(errs, a.dir.Close())...)
}

// URL is where the control plane is reached: https://{domain}:{port}.
func (a *App) URL() string { return a.doors.url }

// listeners are bound before anything is issued, because certificates and the bootstrap
// environment name their ports.
type listeners struct {
	https       net.Listener
	status, est net.Listener // nil when they are off
}

func (a *App) listen(ctx context.Context) (l listeners, err error) {
	var lc net.ListenConfig
	if l.https, err = lc.Listen(ctx, "tcp", a.cfg.Listen); err != nil {
		return l, fmt.Errorf("listen on %s: %w", a.cfg.Listen, err)
	}
	if l.status, err = listenBeside(ctx, l.https, a.cfg.Status, 1); err != nil {
		return l, errors.Join(err, l.https.Close())
	}
	if l.est, err = listenBeside(ctx, l.https, a.cfg.EST, 2); err != nil {
		err = errors.Join(err, l.https.Close())
		if l.status != nil {
			err = errors.Join(err, l.status.Close())
		}
	}
	return l, err
}

// listenBeside listens at an address, or when it is empty at a port that is higher by so
// much, or at any if that is taken: nobody asked for this very port. It is nil for "off".
func listenBeside(ctx context.Context, beside net.Listener, address string, higher int) (net.Listener, error) {
	if address == "off" {
		return nil, nil //nolint:nilnil // no listener is what was asked for
	}
	var lc net.ListenConfig
	first, where := address == "", beside.Addr().(*net.TCPAddr)
	if first {
		address = net.JoinHostPort(where.IP.String(), strconv.Itoa(where.Port+higher))
	}
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil && first {
		l, err = lc.Listen(ctx, "tcp", net.JoinHostPort(where.IP.String(), "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// base is https://{host}[:port] for a host of ours.
func (a *App) base(host string, l listeners) string {
	if port := portOf(l.https); port != "443" {
		return "https://" + host + ":" + port
	}
	return "https://" + host
}
