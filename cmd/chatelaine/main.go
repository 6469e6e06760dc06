// Command chatelaine is a self-hosted vault that speaks Azure Key Vault's API and a
// control plane for every certificate and key of an organisation. One file here is one verb.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chatelaine:", err)
		stop()
		os.Exit(1)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "chatelaine",
		Short: "A vault that speaks Azure Key Vault's API, and a control plane for every certificate",
		Long: `Chatelaine keeps keys, secrets and certificates behind Azure Key Vault's own API, and
looks after every certificate of an organisation: finds, judges, renews, installs, proves.

Start with "chatelaine serve", then in another terminal: eval "$(chatelaine env)".`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.AddCommand(serveCommand(), envCommand())
	return c
}
