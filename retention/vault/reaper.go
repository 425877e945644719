package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"klarsyn/camera"
)

// BackgroundRows are the rows of backgrounds, for whoever deletes.
type BackgroundRows interface {
	Backgrounds(ctx context.Context) (map[camera.ID]time.Time, error)
	ExpireBackgrounds(ctx context.Context, now time.Time) (int, error)
}

// BackgroundReaper ends backgrounds at their deadline: the key first, so that nobody opens them from that instant on, then
// the bytes. It works while the recorder is down, too.
type BackgroundReaper struct {
	Rows  BackgroundRows
	Spool string
	// Scrub empties what the database keeps of deleted rows; nil where that is not in our reach.
	Scrub func(context.Context) error
	Now   func() time.Time
	Log   *slog.Logger
	// Every is the time between two looks (default 5 s).
	Every time.Duration

	unscrubbed bool
}

// Run reaps until ctx ends.
func (r *BackgroundReaper) Run(ctx context.Context) error {
	if r.Every == 0 {
		r.Every = 5 * time.Second
	}
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	var told time.Time
	for {
		if err := r.Reap(ctx); err != nil && ctx.Err() == nil && time.Since(told) >= time.Minute {
			r.Log.Error("old backgrounds stay and are tried again", "err", err)
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Reap makes one pass: keys past their deadline, and files that no row knows.
func (r *BackgroundReaper) Reap(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// Files before rows: a file's row is older than the file.
	files, err := KeptBackgrounds(r.Spool)
	if err != nil {
		return err
	}
	gone, err := r.Rows.ExpireBackgrounds(ctx, r.Now())
	if err != nil {
		return err
	}
	r.unscrubbed = r.unscrubbed || gone > 0
	rows, err := r.Rows.Backgrounds(ctx)
	if err != nil {
		return err
	}
	var errs []error
	removed := false
	for _, id := range files {
		if _, ok := rows[id]; ok {
			continue
		}
		for _, ending := range []string{background, background + fresh} {
			err := os.Remove(filepath.Join(r.Spool, string(id)+ending))
			if removed = removed || err == nil; err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("spool: %w", err))
			}
		}
	}
	if removed {
		errs = append(errs, (&spool{folder: r.Spool}).sync())
	}
	if r.unscrubbed && r.Scrub != nil {
		err := r.Scrub(ctx)
		r.unscrubbed = err != nil
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// KeptBackgrounds lists the cameras that have a background in a spool folder; none if there is no such folder.
func KeptBackgrounds(folder string) ([]camera.ID, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var ids []camera.ID
	for _, e := range entries {
		if id, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), fresh), background); ok {
			ids = append(ids, camera.ID(id))
		}
	}
	return ids, nil
}
