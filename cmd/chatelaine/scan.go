package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/discovery/scan"
	"chatelaine.dev/internal/lifecycle/inventory"
)

type scanOptions struct {
	remote
	targets, exclude     []string
	ports, file, ca      string
	versions, all        bool
	record               bool
	concurrency          int
	timeout, connectTime time.Duration
	in                   io.Reader
}

func scanCommand() *cobra.Command {
	var o scanOptions
	c := &cobra.Command{
		Use: "scan TARGET…", Short: "Find and judge the certificates of TLS services, from here", GroupID: findGroup,
		Long: `Find and judge the certificates of TLS services, from here and without a server. A target is a
name, an address, a network (10.0.0.0/24) or a range (10.0.0.1-10.0.0.9), with ports of its own
if it wants: web.example:443,8443. TLS 1.0 to 1.3 are spoken, and what ordinary clients refuse is
seen too. With --record the server's inventory learns what was found.`,
		Example: `  chatelaine scan shop.example.com
  chatelaine scan 10.1.0.0/24 --ports 443,8443 --versions
  chatelaine scan localhost:8443 --record -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.targets, o.in, o.Out, o.Err = args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			if o.record {
				if err := o.connect(); err != nil {
					return fmt.Errorf("--record: %w", err)
				}
			}
			return runScan(cmd.Context(), o)
		},
	}
	o.formatFlag(c)
	f := c.Flags()
	f.StringVarP(&o.ports, "ports", "p", "", "ports of targets without their own, such as 443,9000-9010 (default: where TLS is spoken from the first byte)")
	f.StringSliceVar(&o.exclude, "exclude", nil, "names, addresses and networks that are left out")
	f.StringVar(&o.file, "file", "", "file with more targets, one a line; - for standard input")
	f.BoolVar(&o.versions, "versions", false, "find out every TLS version that is accepted")
	f.BoolVar(&o.all, "all", false, "show what has no certificate, too")
	f.BoolVar(&o.record, "record", false, "tell the server's inventory what was found")
	f.StringVar(&o.ca, "ca", os.Getenv("SSL_CERT_FILE"), "roots of your own in PEM (default: SSL_CERT_FILE)")
	f.IntVar(&o.concurrency, "concurrency", 64, "probes at a time, at most 1024")
	f.DurationVar(&o.connectTime, "connect-timeout", 3*time.Second, "for one connection")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "for everything about one address")
	return c
}

func runScan(ctx context.Context, o scanOptions) error {
	plan, err := o.plan()
	if err != nil {
		return err
	}
	judge, err := newJudge(o.ca)
	if err != nil {
		return err
	}
	scanner := scan.New(scan.Config{Concurrency: o.concurrency, Timeout: o.timeout, ConnectTimeout: o.connectTime, Versions: o.versions})
	kept := collection{o: o}
	if !terminal.IsTerminal(o.Err) {
		fmt.Fprintf(o.Err, "scanning: %s\n", terminal.Plural(plan.Total(), "probe"))
	}
	p := terminal.NewProgress(o.Err, "")
	err = scanner.Run(ctx, plan, 0, func(now scan.Progress, _ int, results []scan.Result) error {
		p.Set(now.Done, now.Total, terminal.Plural(now.Found, "certificate")+" found")
		kept.probes = now.Done
		return kept.add(ctx, results)
	})
	if err == nil {
		err = kept.send(ctx)
	}
	p.Stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if printErr := kept.print(judge); printErr != nil {
		return printErr
	}
	return err // what was found before an interruption is shown all the same
}

func (o *scanOptions) plan() (*scan.Plan, error) {
	targets := slices.Clone(o.targets)
	if o.file != "" {
		b, err := readInput(o.in, o.file)
		if err != nil {
			return nil, err
		}
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			if line, _, _ := strings.Cut(s.Text(), "#"); strings.TrimSpace(line) != "" {
				targets = append(targets, strings.TrimSpace(line))
			}
		}
	}
	return scan.NewPlan(scan.PlanOptions{Targets: targets, Ports: o.ports, Exclude: o.exclude})
}

// collection is what a scan has seen.
type collection struct {
	o       scanOptions
	probes  int
	results []scan.Result

	waiting []observation // to be recorded
	size    int           // of their certificates, in bytes
	skipped int
	done    recorded
}

// recorded is what the inventory says of what it was told.
type recorded struct {
	Certificates int `json:"certificates"`
	New          int `json:"new"`
	Changed      int `json:"changed"`
}

// A batch of observations stays below the body that the server takes.
const (
	maxBatch      = 500
	maxBatchBytes = 1 << 20
)

func (c *collection) add(ctx context.Context, results []scan.Result) error {
	for _, r := range results {
		if r.Outcome == scan.Found || c.o.all {
			c.results = append(c.results, r)
		}
		if !c.o.record || r.Outcome == scan.Forbidden {
			continue
		}
		size := 0
		for _, der := range r.Chain {
			size += len(der)
		}
		if size > maxBatchBytes {
			c.skipped++
			continue
		}
		if len(c.waiting) == maxBatch || c.size+size > maxBatchBytes {
			if err := c.send(ctx); err != nil {
				return err
			}
		}
		c.waiting, c.size = append(c.waiting, observationOf(r)), c.size+size
	}
	return nil
}

// send records what waits.
func (c *collection) send(ctx context.Context) error {
	if len(c.waiting) == 0 {
		return nil
	}
	now, err := send[recorded](ctx, c.o.remote, "POST /observations", map[string]any{"observations": c.waiting})
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	c.done.Certificates += now.Value.Certificates
	c.done.New += now.Value.New
	c.done.Changed += now.Value.Changed
	c.waiting, c.size = nil, 0
	return nil
}

// observation is a result in the words of the API.
type observation struct {
	Host    string          `json:"host,omitempty"`
	IP      string          `json:"ip,omitempty"`
	Port    int             `json:"port"`
	SNI     string          `json:"sni,omitempty"`
	State   inventory.State `json:"state"`
	Chain   [][]byte        `json:"chain,omitempty"`
	At      time.Time       `json:"at"`
	TLS     *inventory.TLS  `json:"tls,omitempty"`
	Problem string          `json:"problem,omitempty"`
}

func observationOf(r scan.Result) observation {
	o := discovery.Observation(r)
	x := observation{
		Host: o.Place.Host, IP: o.Place.IP, Port: o.Place.Port, SNI: o.Place.SNI, State: o.State, At: o.At, TLS: o.TLS, Problem: o.Problem,
	}
	if len(o.DER) > 0 {
		x.Chain = append([][]byte{o.DER}, o.Chain...)
	}
	return x
}

// print writes what was seen, the worst first.
func (c *collection) print(j *judge) error {
	rows := make([]judged, len(c.results))
	different := map[string]bool{}
	urgent := 0
	for i, r := range c.results {
		rows[i] = j.judge(r)
		if rows[i].Certificate != nil {
			different[rows[i].Certificate.SHA256] = true
		}
		urgent += rows[i].urgent()
	}
	slices.SortStableFunc(rows, worstFirst)
	var err error
	if c.o.Format == terminal.JSON {
		err = c.o.WriteJSON(rows)
	} else {
		terminal.Rows(c.o.Terminal, rows, judgedColumns(time.Now()))
	}
	fmt.Fprintf(c.o.Err, "%s, %s at %s; %s of high or critical severity\n", terminal.Plural(c.probes, "probe"),
		terminal.Plural(len(different), "certificate"), terminal.Plural(len(rows), "endpoint"), terminal.Plural(urgent, "finding"))
	if c.o.record {
		fmt.Fprintf(c.o.Err, "recorded %s, %d of them new; %s changed\n", terminal.Plural(c.done.Certificates, "certificate"), c.done.New, terminal.Plural(c.done.Changed, "place"))
	}
	if c.skipped > 0 {
		fmt.Fprintf(c.o.Err, "%s not recorded: the chain is larger than %d bytes\n", terminal.Plural(c.skipped, "endpoint"), maxBatchBytes)
	}
	return err
}
