package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"chatelaine.dev/internal/app"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", GroupID: serverGroup, Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { runVersion(cmd) },
	}
}

func runVersion(cmd *cobra.Command) {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " (" + s.Value[:min(len(s.Value), 12)] + ")"
			}
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "chatelaine %s%s\n", version(), commit)
}

func version() string { return app.Version }
