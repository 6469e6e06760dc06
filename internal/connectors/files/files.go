// Package files installs certificates as PEM files on the machine that Chatelaine runs
// on, for every program that reads its certificate from a file: nginx, Apache, HAProxy,
// PostgreSQL, Postfix. Each file is replaced by a rename, so a reader sees the old or the
// new one and never a part; the program's own check must agree before it is reloaded.
package files

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
)

//go:embed README.md
var readme string

// Definition describes the connector.
func Definition() connector.Definition {
	return connector.Definition{
		Name:   "files",
		Title:  "Files",
		Readme: readme,
		Config: Config{},
		Place:  Place{},
		Target: connector.New(newTarget),
	}
}

// Config is one program on this machine. The commands belong to the connection, not to a
// place, because whoever writes them runs programs as the server's user.
type Config struct {
	Roots   []string `json:"roots" help:"Directories below which files may be written, as absolute paths." required:"true"`
	Check   []string `json:"check" help:"Command that says whether the program accepts the new files, as a list of words such as /usr/sbin/nginx and -t. No shell is involved."`
	Reload  []string `json:"reload" help:"Command that makes the program read its files again, as a list of words such as /usr/sbin/nginx, -s and reload."`
	Timeout int      `json:"timeout" help:"Seconds that each command may take; 30 when empty."`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	for _, r := range c.Roots {
		if !filepath.IsAbs(r) || filepath.Clean(r) != r {
			return fmt.Errorf(`setting "roots": %q is not an absolute path in its shortest form`, r)
		}
	}
	for name, argv := range map[string][]string{"check": c.Check, "reload": c.Reload} {
		if len(argv) > 0 && !filepath.IsAbs(argv[0]) {
			return fmt.Errorf("setting %q: the program must be an absolute path", name)
		}
	}
	if c.Timeout < 0 || c.Timeout > 120 {
		return errors.New(`setting "timeout": want 1 to 120 seconds`)
	}
	return nil
}

type target struct {
	config Config
	// before is called ahead of every change to the file system. Tests end the process there.
	before func(op string)
}

func newTarget(c Config, _ connector.Env) (connector.Target, error) {
	if c.Timeout == 0 {
		c.Timeout = 30
	}
	return &target{config: c, before: func(string) {}}, nil
}

// Check looks for the roots and the commands.
func (t *target) Check(context.Context) error {
	for _, r := range t.config.Roots {
		info, err := os.Stat(r)
		if err != nil || !info.IsDir() {
			return fault.New(fault.Invalid, "RootMissing", "root %s is not a directory that the server can see; create it or correct the connection", r)
		}
	}
	for _, argv := range [][]string{t.config.Check, t.config.Reload} {
		if len(argv) == 0 {
			continue
		}
		info, err := os.Stat(argv[0])
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return fault.New(fault.Invalid, "CommandMissing", "%s is not a program that the server can run", argv[0])
		}
	}
	return nil
}

// Activate runs the check and, when it agrees, the reload.
func (t *target) Activate(ctx context.Context, _ connector.Deployment) error {
	if err := t.run(ctx, "check", t.config.Check); err != nil {
		return err
	}
	return t.run(ctx, "reload", t.config.Reload)
}

// Verify compares each file with what it should hold.
func (t *target) Verify(_ context.Context, d connector.Deployment) error {
	return t.each(d, func(f file) error {
		got, err := f.dir.read(f.name)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.path, classify(err))
		}
		if string(got) != string(f.content) {
			return fault.New(fault.Conflict, "OtherContent", "file %s does not hold the new certificate; another program may have written it", f.path)
		}
		return nil
	})
}

// each opens the files of a deployment with what they shall hold, and calls do for each.
func (t *target) each(d connector.Deployment, do func(file) error) error {
	return t.all(d, func(files []file) error {
		for _, f := range files {
			if err := do(f); err != nil {
				return err
			}
		}
		return nil
	})
}

// all opens the files of a deployment with what they shall hold, and calls do with them.
func (t *target) all(d connector.Deployment, do func([]file) error) error {
	return t.places(d, func(files []file) error {
		if err := render(files, d.Bundle); err != nil {
			return err
		}
		return do(files)
	})
}

// places opens the files of a deployment without their content.
func (t *target) places(d connector.Deployment, do func([]file) error) error {
	if !identifier.MatchString(d.ID) {
		return fmt.Errorf("deployment id %q: want letters, digits and dashes", d.ID)
	}
	place, err := connector.Decode[Place](d.Place)
	if err != nil {
		return err
	}
	files, err := place.files(d.ID)
	if err != nil {
		return err
	}
	for i := range files {
		dir, name, err := t.open(files[i].path)
		if err != nil {
			return err
		}
		defer dir.close()
		files[i].dir, files[i].name = dir, name
	}
	return do(files)
}

// open finds the root that a path is below, and the directory there. Going through
// os.Root, no symbolic link and no ".." on the way can lead out of the root.
func (t *target) open(path string) (*directory, string, error) {
	for _, r := range t.config.Roots {
		rel, err := filepath.Rel(r, path)
		if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		root, err := os.OpenRoot(r)
		if err != nil {
			return nil, "", fmt.Errorf("open root %s: %w", r, classify(err))
		}
		defer root.Close()
		sub, err := root.OpenRoot(filepath.Dir(rel))
		if err != nil {
			return nil, "", fault.Wrap(err, fault.Invalid, "DirectoryMissing",
				fmt.Sprintf("directory %s cannot be opened below the root %s; create it, or use a path without links that lead out", filepath.Dir(path), r))
		}
		return &directory{root: sub, before: t.before}, filepath.Base(rel), nil
	}
	return nil, "", fault.New(fault.Invalid, "OutsideRoots", "path %s is not below a root of the connection", path)
}

// timeout is how long one command may take.
func (t *target) timeout() time.Duration { return time.Duration(t.config.Timeout) * time.Second }

// classify gives an error of the file system its kind.
func classify(err error) error {
	switch {
	case err == nil || fault.Of(err).Kind != fault.Internal:
		return err
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(err, fault.Denied, "FileDenied", "the server's user may not do that; give it the right or another owner")
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(err, fault.NotFound, "FileMissing", "the file is not there")
	}
	return fault.Wrap(err, fault.Unavailable, "FileSystem", "the file system refused")
}
