package dir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"klarsyn/retention/object"
)

// probing begins the names of a probe's files.
const probing = ".probe-"

// system is what a store asks of its file system beyond plain files.
type system struct {
	link func(from, to string) error
	lock func(*os.File) error
}

var linux = system{
	link: os.Link,
	lock: func(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) },
}

// probe tries on the file system of folder what makes a key write-once and an upload safe from who takes it for
// abandoned. It is a verdict about the file system alone: a disk that is full or that this process may not
// write to has none, and keeps nobody from deleting or reading.
func (sys system) probe(folder string) error {
	forget(folder)
	name := filepath.Join(folder, probing+rand.Text())
	linked := name + "-linked"
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil //nolint:nilerr // no verdict: the first put will name it
	}
	defer f.Close()
	defer os.Remove(name)
	defer os.Remove(linked)
	if err := sys.lock(f); err != nil {
		return unfit("cannot lock files", err)
	}
	if err := sys.link(name, linked); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return nil
		}
		return unfit("cannot link files", err)
	}
	if err := sys.link(name, linked); !errors.Is(err, fs.ErrExist) {
		return unfit("lets a link replace a file", err)
	}
	return nil
}

func unfit(what string, err error) error {
	if err != nil {
		what += " (" + err.Error() + ")"
	}
	return fmt.Errorf("its file system %s: %w; keep objects on a local one such as ext4 or xfs", what, object.ErrUnfit)
}

// forget removes what killed probes left. It matters to nobody, so neither does whether it can.
func forget(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), probing) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(filepath.Join(folder, e.Name()))
		}
	}
}
