package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"klarsyn/retention/vault"
)

// abandoned is how the temporary directories of demos are called.
const abandoned = "klarsyn-demo-"

// removeAbandoned removes what demos left that were killed: their footage is past any deadline that they
// could still keep, and keys and clips lie in one place. One that is running holds its spool.
func removeAbandoned(std stdio) {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), abandoned+"*"))
	if err != nil {
		return
	}
	for _, folder := range found {
		free, err := vault.SpoolFree(layout{folder}.spool())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || !free {
			continue // just being made, somebody else's, or running
		}
		if err := os.RemoveAll(folder); err != nil {
			fmt.Fprintf(std.err, "klarsyn: an abandoned demo could not be removed: %v\n", err)
		}
	}
}
