package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
)

// What a deployment leaves beside a file NAME until it is finished or rolled back:
//
//	.NAME.chatelaine   the journal: the deployment's id, and whether there was a file before.
//	                   It is also the lock: another deployment to the file waits for its end
//	.NAME.ID.previous  the file from before, as a second link to it, so that owner, mode and
//	                   content come back as they were
//	.NAME.ID.new       what is being written
//
// No file is replaced before every journal and every previous file are on disk, so
// whatever is found after a crash says without doubt how to go on and how to go back.

var identifier = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)

func (f file) journal() string  { return "." + f.name + ".chatelaine" }
func (f file) previous() string { return "." + f.name + "." + f.deployment + ".previous" }
func (f file) new() string      { return "." + f.name + "." + f.deployment + ".new" }

// Prepare tries everything that can be tried without changing a file.
func (t *target) Prepare(ctx context.Context, d connector.Deployment) error {
	if err := t.Check(ctx); err != nil {
		return err
	}
	return t.each(d, func(f file) error {
		if err := f.regular(); err != nil {
			return err
		}
		if err := f.free(); err != nil {
			return err
		}
		owners, err := f.owners()
		if err != nil {
			return err
		}
		if err := f.dir.write(f.new(), nil, f.mode, owners); err != nil {
			return fmt.Errorf("write beside %s: %w", f.path, classify(err))
		}
		return f.dir.remove(f.new())
	})
}

// Install writes journals and keeps the previous files, all of them, and then replaces
// the files, the key first.
func (t *target) Install(_ context.Context, d connector.Deployment) error {
	return t.all(d, func(files []file) error {
		for _, f := range files {
			if err := f.keep(); err != nil {
				return fmt.Errorf("keep what is at %s: %w", f.path, err)
			}
		}
		for _, f := range files {
			if err := f.replace(); err != nil {
				return fmt.Errorf("write %s: %w", f.path, err)
			}
		}
		return nil
	})
}

// RollBack puts the previous files back and makes the program read them. The journals go
// last: killed before, it is done again as a whole.
func (t *target) RollBack(ctx context.Context, d connector.Deployment) error {
	return t.places(d, func(files []file) error {
		var ours []file
		for _, f := range files {
			id, existed, err := f.readJournal()
			if errors.Is(err, fs.ErrNotExist) || err == nil && id != d.ID {
				if err := f.sweep(); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("read the journal of %s: %w", f.path, classify(err))
			}
			if err := f.putBack(existed); err != nil {
				return fmt.Errorf("put back %s: %w", f.path, classify(err))
			}
			ours = append(ours, f)
		}
		if len(ours) == 0 {
			return nil
		}
		if err := t.run(ctx, "reload", t.config.Reload); err != nil {
			return fmt.Errorf("the previous files are back: %w", err)
		}
		return forget(ours)
	})
}

// Finish drops the previous files and the journals.
func (t *target) Finish(_ context.Context, d connector.Deployment) error {
	return t.places(d, func(files []file) error {
		var ours []file
		for _, f := range files {
			id, _, err := f.readJournal()
			switch {
			case err == nil && id == d.ID:
				ours = append(ours, f)
			case err != nil && !errors.Is(err, fs.ErrNotExist):
				return fmt.Errorf("read the journal of %s: %w", f.path, classify(err))
			}
		}
		return forget(ours)
	})
}

// keep writes the journal and links the previous file, as far as this has not been done.
func (f file) keep() error {
	if err := f.regular(); err != nil {
		return err
	}
	if err := f.free(); err != nil {
		return err
	}
	existed, err := f.dir.exists(f.name)
	if err != nil {
		return classify(err)
	}
	was := "absent"
	if existed {
		was = "present"
	}
	err = f.dir.create(f.journal(), f.new(), []byte(f.deployment+" "+was+"\n"))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return classify(err)
	}
	// The journal may be older than this run: it knows how things were.
	id, existed, err := f.readJournal()
	if err != nil {
		return classify(err)
	}
	if id != f.deployment {
		return busy(f, id)
	}
	if !existed {
		return nil
	}
	if err := f.dir.link(f.name, f.previous()); err != nil && !errors.Is(err, fs.ErrExist) {
		return classify(err)
	}
	return classify(f.dir.sync())
}

// free reports fault.Conflict while another deployment is writing the file.
func (f file) free() error {
	id, _, err := f.readJournal()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return classify(err)
	case id != f.deployment:
		return busy(f, id)
	}
	return nil
}

// replace writes the new file aside and renames it into place.
func (f file) replace() error {
	owners, err := f.owners()
	if err != nil {
		return err
	}
	if err := f.dir.write(f.new(), f.content, f.mode, owners); err != nil {
		return classify(err)
	}
	if err := f.dir.rename(f.new(), f.name); err != nil {
		return classify(err)
	}
	return classify(f.dir.sync())
}

// putBack restores what was there before. Where the previous file is not there although
// one existed, Install had not come as far as replacing anything, or it is back already.
func (f file) putBack(existed bool) error {
	var err error
	if existed {
		err = f.dir.rename(f.previous(), f.name)
	} else {
		err = f.dir.remove(f.name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.dir.sync()
}

// forget removes what a deployment left beside its files, the journal last.
func forget(files []file) error {
	for _, f := range files {
		for _, name := range []string{f.new(), f.previous(), f.journal()} {
			if err := f.dir.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("tidy up beside %s: %w", f.path, classify(err))
			}
		}
		if err := f.dir.sync(); err != nil {
			return fmt.Errorf("tidy up beside %s: %w", f.path, classify(err))
		}
	}
	return nil
}

// sweep removes what was being written aside when the process ended before the journal.
func (f file) sweep() error {
	if err := f.dir.remove(f.new()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tidy up beside %s: %w", f.path, classify(err))
	}
	return nil
}

// regular refuses to replace a link, a directory or a device.
func (f file) regular() error {
	info, err := f.dir.root.Lstat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return classify(err)
	}
	if !info.Mode().IsRegular() {
		return fault.New(fault.Invalid, "NotAFile", "%s is not a plain file; name the file itself, not a link to it", f.path)
	}
	return nil
}

func busy(f file, id string) error {
	return fault.New(fault.Conflict, "DeploymentUnderWay", "deployment %s is writing %s; it must end or be rolled back first", id, f.path)
}
