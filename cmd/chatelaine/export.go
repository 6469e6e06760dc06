package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/internal/client"
)

type auditExportOptions struct {
	remote
	format, operation, target, cursor string
	after                             int64
	since                             moment
}

func auditExportCommand() *cobra.Command {
	var o auditExportOptions
	c := o.command("export", "Write audit records as lines of JSON, oldest first, for other programs", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return runAuditExport(ctx, o) })
	c.Example = `  chatelaine audit export --format azure --cursor /var/lib/siem/chatelaine.cursor >>/var/log/chatelaine.json
  chatelaine audit export --target /vaults/payroll --since 7d`
	c.Long = `Write audit records as lines of JSON, oldest first, for other programs.

With --cursor, each run goes on where the last one stopped. The file is written after the
lines are; when a run is interrupted, the next one repeats some: sequence tells them.`
	f := c.Flags()
	f.StringVar(&o.format, "format", "json", "json, or azure for the shape of Azure's AuditEvent")
	f.StringVar(&o.cursor, "cursor", "", "file that remembers where to go on")
	f.Int64Var(&o.after, "after", 0, "begin after this sequence")
	f.StringVar(&o.operation, "operation", "", "such as SecretGet")
	f.StringVar(&o.target, "target", "", "this path and everything below it, such as /vaults/default")
	f.Var(&o.since, "since", "a date, a time, or how long ago (24h, 7d)")
	complete(c, "format", "json", "azure")
	c.MarkFlagsMutuallyExclusive("cursor", "after")
	_ = f.MarkHidden("output") // it is always JSON
	return c
}

func runAuditExport(ctx context.Context, o auditExportOptions) error {
	route, ok := map[string]string{"json": "GET /audit/export", "azure": "GET /audit/export/azure"}[o.format]
	if !ok {
		return fmt.Errorf("format %q: want json or azure", o.format)
	}
	if err := o.readCursor(); err != nil {
		return err
	}
	out := bufio.NewWriter(o.Out)
	for {
		q := url.Values{"after": {strconv.FormatInt(o.after, 10)}, "limit": {"1000"}}
		for name, value := range map[string]string{"operation": o.operation, "target": o.target, "since": o.since.String()} {
			if value != "" {
				q.Set(name, value)
			}
		}
		var p client.Page[struct{}]
		if err := o.Do(ctx, route, q, nil, &p); err != nil {
			return err
		}
		for _, r := range p.Items {
			var line bytes.Buffer
			if err := json.Compact(&line, r.Raw); err != nil {
				return err
			}
			line.WriteByte('\n')
			if _, err := line.WriteTo(out); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		next, err := strconv.ParseInt(p.Next, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: the server says no place to go on from: %w", route, err)
		}
		if next <= o.after {
			return nil
		}
		o.after = next
		if err := o.writeCursor(); err != nil {
			return err
		}
	}
}

func (o *auditExportOptions) readCursor() error {
	if o.cursor == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Clean(o.cursor))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		o.after, err = strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	}
	if err != nil {
		return fmt.Errorf("cursor %s: %w", o.cursor, err)
	}
	return nil
}

// writeCursor replaces the file as a whole, so that it is never half a number.
func (o *auditExportOptions) writeCursor() error {
	if o.cursor == "" {
		return nil
	}
	fresh := o.cursor + ".new"
	if err := os.WriteFile(fresh, []byte(strconv.FormatInt(o.after, 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("cursor: %w", err)
	}
	return os.Rename(fresh, o.cursor)
}
