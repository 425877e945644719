package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
	"klarsyn/policy/audit/durable"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/fsck"
)

// backupConfig is what the configuration says of backups.
type backupConfig struct {
	// KeysKeep is how long a backup of the key store lives, an ISO 8601 duration. It must be shorter than footage is kept; a
	// backup says by itself that it must be gone sooner if it is not. Default: PT12H.
	KeysKeep string `yaml:"keys_keep,omitempty"`
	// Folder is where backups of the key store lie, for klarsyn fsck to warn of old ones. Default: none.
	Folder string `yaml:"folder,omitempty"`
}

// backupSettings are those of a configuration that was checked.
type backupSettings struct {
	keysKeep policy.Period
	folder   string
}

func (c backupConfig) check(folder string) (backupSettings, error) {
	if c.KeysKeep == "" {
		c.KeysKeep = "PT12H"
	}
	keep, err := policy.ParsePeriod(c.KeysKeep)
	if err != nil {
		return backupSettings{}, fmt.Errorf("backup: keys_keep: %w", err)
	}
	return backupSettings{keep, inFolder(folder, c.Folder)}, nil
}

// shortestPromise is how soon, of all that may be recorded now or was and is stored, footage must be gone; 0 if no permit is in force.
func shortestPromise(versions []policy.Version, now time.Time) time.Duration {
	shortest := time.Duration(0)
	for _, v := range versions {
		if len(v.Steps) == 0 {
			continue // a draft: nothing was recorded under it
		}
		over := v.Decided().Over()
		kept := v.Permit.Until(now).Sub(now)
		if over && now.Sub(v.Steps[len(v.Steps)-1].At) > kept {
			continue // nothing of it is left
		}
		if shortest == 0 || kept < shortest {
			shortest = kept
		}
	}
	return shortest
}

// keyLife is how long a backup of keys may live that is made now: what was asked for, but no longer than half of the shortest
// promise, so that what is recorded as it is made still has half of its life before it when the keys are gone.
func keyLife(keep policy.Period, versions []policy.Version, now time.Time) time.Duration {
	life := keep.After(now).Sub(now)
	if shortest := shortestPromise(versions, now); shortest > 0 {
		life = min(life, shortest/2)
	}
	return life
}

// keyBackup is a folder that holds, or may hold, keys.
type keyBackup struct {
	folder  string
	expires time.Time
}

// deadAfter is how long nobody has written into a backup without a name that nobody makes any more.
const deadAfter = time.Hour

// keyBackups lists the backups of key stores in a folder, and in the folders in it. One that was interrupted has no manifest: it is
// over an hour after it was last written to. When it was begun says nothing: the rows, which come first, may take longer.
func keyBackups(dir string) ([]keyBackup, error) {
	inside, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("backups of the key store: %w", err)
	}
	folders := []string{dir}
	for _, entry := range inside {
		if entry.IsDir() {
			folders = append(folders, filepath.Join(dir, entry.Name()))
		}
	}
	var found []keyBackup
	var errs []error
	for _, folder := range folders {
		if _, id, interrupted := strings.Cut(filepath.Base(folder), ".new-"); interrupted {
			if _, err := ulid.ParseStrict(id); err != nil {
				continue
			}
			written, err := lastWritten(folder)
			switch {
			case errors.Is(err, fs.ErrNotExist): // it has got its name meanwhile, or was removed
			case err != nil:
				errs = append(errs, fmt.Errorf("backup %s was not finished and cannot be read: look at it, and remove it by hand: %w", folder, err))
			default:
				found = append(found, keyBackup{folder, written.Add(deadAfter)})
			}
			continue
		}
		m, _, err := readManifest(folder, "")
		var none usageError
		if errors.As(err, &none) {
			continue
		}
		if err != nil { // the others expire all the same
			errs = append(errs, fmt.Errorf("backup %s cannot be read, and does not expire: look at it, and remove it by hand: %w", folder, err))
			continue
		}
		if m.Kind == backupOfKeys {
			found = append(found, keyBackup{folder, m.Expires})
		}
	}
	return found, errors.Join(errs...)
}

// lastWritten is when somebody last wrote into a folder, or into a file in it.
func lastWritten(folder string) (last time.Time, err error) {
	st, err := os.Stat(folder)
	if err != nil {
		return last, err
	}
	inside, err := os.ReadDir(folder)
	if err != nil {
		return last, err
	}
	last = st.ModTime()
	for _, entry := range inside {
		st, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // a journal, say
			continue
		}
		if err != nil {
			return last, err
		}
		if st.ModTime().After(last) {
			last = st.ModTime()
		}
	}
	return last, nil
}

// expireKeyBackups removes those whose time is over.
func expireKeyBackups(dir string, now time.Time) (removed []string, err error) {
	all, err := keyBackups(dir)
	errs := []error{err}
	removed = []string{}
	for _, b := range all {
		if now.Before(b.expires) {
			continue
		}
		// The manifest last: half of a removal must still be found by the next one.
		err := errors.Join(removeAllBut(b.folder, manifestFile), os.RemoveAll(b.folder), durable.SyncFolder(filepath.Dir(filepath.Clean(b.folder))))
		if err != nil {
			errs = append(errs, fmt.Errorf("removing the key backup %s: %w", b.folder, err))
			continue
		}
		removed = append(removed, b.folder)
	}
	return removed, errors.Join(errs...)
}

func removeAllBut(folder, kept string) error {
	inside, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range inside {
		if entry.Name() != kept {
			if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return durable.SyncFolder(folder)
}

// backupWarnings says what of the backups of the key store breaks the promise that footage is gone at its deadline: as long as a
// copy of a day key lives, whoever has copies of rows and objects could open them.
func backupWarnings(s backupSettings, versions []policy.Version, now time.Time) []string {
	var warnings []string
	shortest := shortestPromise(versions, now)
	if life := s.keysKeep.After(now).Sub(now); shortest > 0 && life >= shortest {
		warnings = append(warnings, fmt.Sprintf("backup: keys_keep is %s, and the shortest promise of a permit is %s: key backups must live shorter than footage; set a shorter keys_keep", s.keysKeep, shortest))
	}
	if s.folder == "" {
		return warnings
	}
	all, err := keyBackups(s.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		warnings = append(warnings, fmt.Sprintf("the key backups in %s could not be looked at: %v", s.folder, err))
	}
	for _, b := range all {
		if !now.Before(b.expires) {
			warnings = append(warnings, fmt.Sprintf("the key backup %s should be gone since %s: run klarsyn backup expire --dir %s, and have it run by itself", b.folder, b.expires.Format(time.RFC3339), s.folder))
		}
	}
	return warnings
}

// warnOfBackups has the check of keys say so: a data directory without a configuration has no backups to tell of.
func warnOfBackups(ctx context.Context, l layout, books *catalogue.Catalogue, results []fsck.Result, now time.Time) error {
	s, err := loadSquare(l.config())
	if err != nil {
		return nil //nolint:nilerr // who checks need not be allowed to read it
	}
	versions, err := books.Versions(ctx)
	if err != nil {
		return err
	}
	for i := range results {
		if results[i].ID == "I10" {
			results[i].Warnings = append(results[i].Warnings, backupWarnings(s.backup, versions, now)...)
		}
	}
	return nil
}
