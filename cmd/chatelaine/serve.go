package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/logging"
	"chatelaine.dev/internal/config"
)

type serveOptions struct{ config.Config }

func serveCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use: "serve", GroupID: serverGroup,
		Short: "Run the server",
		Long: `Run the server. On an empty data folder it makes everything it needs: root key,
database, a root and an issuing authority, TLS certificates, the vault "default" and the
first administrator, whose credentials are then in DIR/bootstrap.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(os.Getenv)
			if err != nil {
				return err
			}
			o.apply(cmd, &cfg)
			if err := cfg.Check(); err != nil {
				return err
			}
			return runServe(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.Data, "data", "", "folder for everything that is kept (default ./data)")
	f.StringVar(&o.Listen, "listen", "", "address of the HTTPS listener (default 127.0.0.1:8443)")
	f.StringVar(&o.Domain, "domain", "", "DNS name; vaults are below it (default localhost)")
	f.StringVar(&o.Database, "database", "", "postgres:// URL (default SQLite in the data folder)")
	f.StringVar(&o.Status, "status", "", "address of the plain-HTTP listener for CRLs (default: the next port)")
	f.StringVar(&o.EST, "est", "", "address of the HTTPS listener that asks enrolling machines for their certificate (default: the port after that)")
	return c
}

// apply puts the flags that were given over the configuration.
func (o *serveOptions) apply(cmd *cobra.Command, c *config.Config) {
	for name, field := range map[string][2]*string{
		"data": {&c.Data, &o.Data}, "listen": {&c.Listen, &o.Listen}, "domain": {&c.Domain, &o.Domain},
		"database": {&c.Database, &o.Database}, "status": {&c.Status, &o.Status}, "est": {&c.EST, &o.EST},
	} {
		if cmd.Flags().Changed(name) {
			*field[0] = *field[1]
		}
	}
}

// runServe runs until ctx ends or storage fails, then drains.
func runServe(ctx context.Context, c config.Config, out, diagnostics io.Writer) error {
	log := logging.New(diagnostics)
	defer log.Close()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := protectMemory(); err != nil {
		log.Warn("memory is not protected from core files and debuggers", "error", err)
	}
	a, err := app.Open(ctx, app.Config{Config: c, Log: log.Logger})
	if err != nil {
		return err
	}
	a.Greet(ctx, out)
	fmt.Fprintln(out, "ready", a.URL())
	go debug.FreeOSMemory() // what only the start needed
	return a.Run(ctx)
}

// gcPercent lets the heap grow to three times what is in use: that is little, and the
// collector runs half as often under load.
const gcPercent = 200
