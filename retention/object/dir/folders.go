package dir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// link gives the file its name, and makes every entry on the way to it survive a power cut, also those that
// were there: who made them may have died before it synced them. Delete may remove an empty folder at the
// same moment: then the folders are made again.
func (s *Store) link(temporary, key string) error {
	target := s.path(key)
	folder := filepath.Dir(target)
	for tries := 0; ; tries++ {
		err := s.makeFolders(folder)
		if err == nil {
			err = os.Link(temporary, target)
		}
		if errors.Is(err, fs.ErrNotExist) && tries < 10 {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.sync(folder); err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted again already
			return err
		}
		return err
	}
}

// makeFolders makes folder and what is missing above it, up to the root.
func (s *Store) makeFolders(folder string) error {
	if folder == s.root {
		return nil
	}
	above := filepath.Dir(folder)
	if err := s.makeFolders(above); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := inherit(folder, above); err != nil {
		return err
	}
	return s.sync(above)
}

// inherit gives a folder the rights that the one above it gives owner and group. Another process deletes what
// lies in it, and no umask must take that right away; also not of one whose maker died before it came so far.
func inherit(folder, above string) error {
	st, err := os.Stat(above)
	if err != nil {
		return err
	}
	want := st.Mode() & (fs.ModeSetgid | 0o770)
	if st, err = os.Stat(folder); err != nil {
		return err
	}
	if !st.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: folder, Err: syscall.ENOTDIR}
	}
	if st.Mode()&want == want {
		return nil
	}
	err = os.Chmod(folder, st.Mode()|want)
	if errors.Is(err, fs.ErrPermission) { // somebody else's, who shared it as he wanted
		return nil
	}
	return err
}

// syncEntry makes the absence of a name in folder survive a power cut. A folder that is gone itself was an
// entry of the one above.
func (s *Store) syncEntry(folder string) error {
	for {
		err := s.sync(folder)
		if !errors.Is(err, fs.ErrNotExist) || folder == s.root {
			return err
		}
		folder = filepath.Dir(folder)
	}
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
