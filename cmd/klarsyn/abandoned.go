package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// abandoned is how the temporary directories of demos are called.
	abandoned = "klarsyn-demo-"
	// heldName is the file in such a directory that its demo holds locked for as long as there is anything in
	// it. The spool's lock would not do: it is given back while the demo still writes its summary.
	heldName = "demo.lock"
)

// temporary is the directory of a demo that keeps nothing.
type temporary struct {
	folder string
	held   *os.File
}

// makeTemporary makes a directory that no other start takes for abandoned: the lock is held before it gets its name.
func makeTemporary() (*temporary, error) {
	folder, err := os.MkdirTemp("", abandoned)
	if err != nil {
		return nil, fmt.Errorf("temporary data directory: %w", err)
	}
	unnamed := filepath.Join(folder, heldName+".new")
	held, err := os.OpenFile(unnamed, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("temporary data directory: %w", err), os.RemoveAll(folder))
	}
	err = syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(unnamed, filepath.Join(folder, heldName))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("temporary data directory: %w", err), held.Close(), os.RemoveAll(folder))
	}
	return &temporary{folder, held}, nil
}

// remove removes the directory and only then lets go of it.
func (t *temporary) remove() error { return errors.Join(removeHeld(t.folder), t.held.Close()) }

// removeHeld removes a directory, its lock last: whoever is killed meanwhile leaves a directory that the next
// start still knows for abandoned.
func removeHeld(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != heldName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// removeAbandoned removes what demos left that were killed: their footage is past any deadline that they
// could still keep, and keys and clips lie in one place.
func removeAbandoned(std stdio) {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), abandoned+"*"))
	if err != nil {
		return
	}
	for _, folder := range found {
		if err := removeIfAbandoned(folder); err != nil {
			fmt.Fprintf(std.err, "klarsyn: an abandoned demo could not be removed: %v\n", err)
		}
	}
}

func removeIfAbandoned(folder string) error {
	// Everybody may make names in the temporary directory: only our own directory is touched, and no link followed.
	st, err := os.Lstat(folder)
	if err != nil || !st.IsDir() || st.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
		return nil //nolint:nilerr // gone, or not ours
	}
	held, err := os.OpenFile(filepath.Join(folder, heldName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // just being made
	}
	if err != nil {
		return err
	}
	defer held.Close()
	if syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil // it is running
	}
	return removeHeld(folder)
}
