// Command chatelaine is a self-hosted vault that speaks Azure Key Vault's API and a
// control plane for every certificate and key of an organisation. One file here is one verb.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err == nil:
	case interrupted && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "chatelaine: interrupted")
		os.Exit(130) // as a shell counts: 128 and the number of the signal
	default:
		fmt.Fprintln(os.Stderr, "chatelaine:", err)
		os.Exit(1)
	}
}

// The parts of the list of verbs.
const (
	serverGroup      = "server"
	findGroup        = "find"
	certificateGroup = "certificates"
	keepGroup        = "keep"
	authorityGroup   = "authority"
	governGroup      = "govern"
)

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
	c.AddGroup(
		&cobra.Group{ID: serverGroup, Title: "Server:"},
		&cobra.Group{ID: findGroup, Title: "Find:"},
		&cobra.Group{ID: certificateGroup, Title: "Look after:"},
		&cobra.Group{ID: keepGroup, Title: "Keep:"},
		&cobra.Group{ID: authorityGroup, Title: "Issue:"},
		&cobra.Group{ID: governGroup, Title: "Govern:"},
	)
	c.SetHelpCommandGroupID(serverGroup)
	c.SetCompletionCommandGroupID(serverGroup)
	c.AddCommand(
		serveCommand(), envCommand(), versionCommand(),
		scanCommand(), campaignCommand(), endpointCommand(),
		certificateCommand(), lineageCommand(), requestCommand(), connectionCommand(),
		vaultCommand(), objectCommand(), hsmCommand(), exportCommand(), importCommand(), byokCommand(),
		authorityCommand(), profileCommand(), issuanceAuditCommand(), issueCommand(), generateCommand(), revokeCommand(), releaseCommand(), revocationCommand(),
		auditCommand(), subscriptionCommand(), accessCommand(), linkCommand(), acmeCommand(), passcodeCommand(),
	)
	return c
}
