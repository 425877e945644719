package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// reserve is room that is kept on the catalogue's disk for deletion alone. When the disk is full to the last byte
// retain gives it up, so that what is due can still be deleted and logged; while it is spent nobody else may log,
// and so nobody looks at or records anything. On a database server there is none: its disk is out of our reach.
type reserve struct {
	path   string
	size   int64
	beside uint64 // what must be free beside it before it is made again
}

const (
	// nearlyFull is how little room is left when the reserve is given up: about what one transaction may need.
	nearlyFull   = 2 << 20
	reserveEvery = time.Second
)

// errSpent says that what room is left is deletion's.
var errSpent = errors.New("the disk of the catalogue is full: the room that is left is kept for deletion; free space")

// kept is nil while the reserve is there. Whoever logs anything but deletions asks it first.
func (r *reserve) kept() error {
	if r == nil {
		return nil
	}
	if _, err := os.Stat(r.path); errors.Is(err, fs.ErrNotExist) {
		return errSpent
	}
	return nil // a folder that cannot be asked fails by itself where it is written to
}

// make makes the reserve if there is room for it, and reports whether it is there.
func (r *reserve) make() (bool, error) {
	if r.kept() == nil {
		return true, nil
	}
	if free, err := freeIn(filepath.Dir(r.path)); err != nil || free < uint64(r.size)+r.beside {
		return false, err
	}
	// Whole, or not at all: half a reserve would let the others write. What a crash left of it is used again.
	unfinished := r.path + ".new"
	f, err := os.OpenFile(unfinished, os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return false, err
	}
	_ = f.Chmod(0o660) // whoever goes on with it may be another user; whose it is already, need not be asked
	err = errors.Join(r.fill(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(unfinished, r.path)
	}
	if err != nil && r.kept() != nil { // else another process was faster
		return false, errors.Join(fmt.Errorf("keep %d MiB for deletion: %w", r.size>>20, err), os.Remove(unfinished))
	}
	return true, nil
}

// fill gives the file real blocks, also where the file system cannot be asked for them.
func (r *reserve) fill(f *os.File) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, r.size)
	if !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
		return err
	}
	for zeros, at := make([]byte, 1<<20), int64(0); at < r.size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return err
		}
	}
	return nil
}

// run keeps the reserve until ctx ends: it gives it up when the disk is full, and makes it again when there is room.
func (r *reserve) run(ctx context.Context, log *slog.Logger) {
	spent := r.kept() != nil
	for tick := time.NewTicker(reserveEvery); ; {
		free, err := freeIn(filepath.Dir(r.path))
		switch {
		case err != nil:
			log.Error("the catalogue's disk could not be asked for its room", "err", err)
		case !spent && free < nearlyFull:
			if err := os.Remove(r.path); err != nil {
				log.Error("the room that is kept for deletion could not be given up", "err", err)
				break
			}
			spent = true
			log.Error("the catalogue's disk is full: the room that was kept is given to deletion, and nothing is recorded or shown; free space", "free_bytes", free, "reserve_mib", r.size>>20)
		case spent:
			made, err := r.make()
			if err != nil {
				log.Error("room for deletion could not be kept; trying again", "err", err)
			} else if made {
				spent = false
				log.Info("there is room again: some is kept for deletion, and recording and looking go on", "reserve_mib", r.size>>20)
			}
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

func freeIn(folder string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
