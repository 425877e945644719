// Package durable writes small files that must be whole and must be there after a power cut: keys, and what a
// witness remembers.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts a whole file in its place, or leaves what was there.
func Write(path string, content []byte, mode fs.FileMode) error {
	temporary, err := unplaced(path, content, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return SyncFolder(filepath.Dir(path))
}

// Create puts a whole file where there is none. If there is one, it stays, and Create fails with fs.ErrExist.
func Create(path string, content []byte, mode fs.FileMode) error {
	temporary, err := unplaced(path, content, mode)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	if err := os.Link(temporary, path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// unplaced is a synced file beside its place.
func unplaced(path string, content []byte, mode fs.FileMode) (string, error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", err
	}
	_, writeErr := file.Write(content)
	if err := errors.Join(writeErr, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// SyncFolder makes what was placed in a folder, moved or removed there survive a power cut.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
