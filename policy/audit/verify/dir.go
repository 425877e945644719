package verify

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Dir checks a log that lies in a directory, as klarsyn log export writes it; see Log. A file among its tiles
// and checkpoints that the log does not account for is a problem, too: nobody could say what it is.
func Dir(ctx context.Context, dir string, o Options) (*Report, error) {
	d := &directory{fs: os.DirFS(dir), read: map[string]bool{}}
	report, err := Log(ctx, d, o)
	if err != nil || len(report.Problems) > 0 {
		return report, err
	}
	var stray []string
	for _, folder := range []string{"tile", "checkpoints"} {
		err := fs.WalkDir(d.fs, folder, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && !d.read[name] {
				stray = append(stray, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(stray)
	for _, name := range stray {
		report.add(filepath.ToSlash(name), "is no part of the log that the newest checkpoint signs")
	}
	return report, nil
}

// directory remembers which of its files were read.
type directory struct {
	fs   fs.FS
	mu   sync.Mutex
	read map[string]bool
}

func (d *directory) ReadFile(name string) ([]byte, error) {
	content, err := fs.ReadFile(d.fs, name)
	if err == nil {
		d.mu.Lock()
		d.read[name] = true
		d.mu.Unlock()
	}
	return content, err
}
