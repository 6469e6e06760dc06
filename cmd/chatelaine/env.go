package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/internal/config"
)

type envOptions struct{ data string }

func envCommand() *cobra.Command {
	var o envOptions
	c := &cobra.Command{
		Use: "env", GroupID: serverGroup,
		Short: `Print the administrator's environment: eval "$(chatelaine env)"`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.data == "" {
				cfg, err := config.Load(os.Getenv)
				if err != nil {
					return err
				}
				o.data = cfg.Data
			}
			return runEnv(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&o.data, "data", "", "the server's data folder (default ./data, or CHATELAINE_DATA)")
	return c
}

// runEnv prints DIR/bootstrap/admin.env as export lines, quoted for a POSIX shell.
func runEnv(_ context.Context, o envOptions, w io.Writer) error {
	file := filepath.Join(o.data, "bootstrap", "admin.env")
	f, err := os.Open(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: start \"chatelaine serve\" first, or name its folder with --data", file)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok {
			fmt.Fprintf(w, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
		}
	}
	return nil
}
