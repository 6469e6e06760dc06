package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"chatelaine.dev/internal/fault"
)

// directory makes durable changes to the files of one directory.
type directory struct {
	root   *os.Root
	before func(op string)
}

// ids is a numeric owner and group; -1 leaves one as it is.
type ids struct{ user, group int }

// maxFile bounds what is read back; a certificate with its chain is far smaller.
const maxFile = 4 << 20

func (d *directory) close() { _ = d.root.Close() }

func (d *directory) read(name string) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func (d *directory) exists(name string) (bool, error) {
	_, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// write makes a file with all its content on disk. It is the owner's alone until content,
// owner and mode are right.
func (d *directory) write(name string, content []byte, mode fs.FileMode, owner *ids) (err error) {
	d.before("write " + name)
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.before("create " + name)
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = d.root.Remove(name)
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	d.before("written " + name)
	if owner != nil {
		if err := f.Chown(owner.user, owner.group); err != nil {
			return err
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

// create makes a file with its content in one step, or reports fs.ErrExist. It is written
// aside first.
func (d *directory) create(name, aside string, content []byte) error {
	if err := d.write(aside, content, 0o600, nil); err != nil {
		return err
	}
	if err := d.link(aside, name); err != nil {
		return errors.Join(err, d.root.Remove(aside))
	}
	if err := d.remove(aside); err != nil {
		return err
	}
	return d.sync()
}

func (d *directory) link(old, new string) error {
	d.before("link " + new)
	return d.root.Link(old, new)
}

func (d *directory) rename(old, new string) error {
	d.before("rename " + new)
	return d.root.Rename(old, new)
}

func (d *directory) remove(name string) error {
	d.before("remove " + name)
	return d.root.Remove(name)
}

// sync makes names durable.
func (d *directory) sync() error {
	d.before("sync")
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// readJournal returns the deployment that is writing the file, and whether there was a
// file before it.
func (f file) readJournal() (id string, existed bool, err error) {
	b, err := f.dir.read(f.journal())
	if err != nil {
		return "", false, err
	}
	id, was, ok := strings.Cut(strings.TrimSuffix(string(b), "\n"), " ")
	if !ok || was != "present" && was != "absent" {
		return "", false, fault.New(fault.Conflict, "JournalUnreadable", "%s beside %s is not a journal of ours; remove it when no deployment is under way", f.journal(), f.path)
	}
	return id, was == "present", nil
}

// owners returns whom the new file shall belong to: as the place says, else as the file
// that it replaces.
func (f file) owners() (*ids, error) {
	o := ids{-1, -1}
	if info, err := f.dir.root.Lstat(f.name); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			o = ids{int(st.Uid), int(st.Gid)}
		}
	}
	if f.owner != "" {
		n, err := lookUp(f.owner, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
		if err != nil {
			return nil, fault.New(fault.Invalid, "NoSuchUser", "there is no user %q on this machine", f.owner)
		}
		o.user = n
	}
	if f.group != "" {
		n, err := lookUp(f.group, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
		if err != nil {
			return nil, fault.New(fault.Invalid, "NoSuchGroup", "there is no group %q on this machine", f.group)
		}
		o.group = n
	}
	return &o, nil
}

func lookUp(name string, find func(string) (string, error)) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	id, err := find(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(id)
}
