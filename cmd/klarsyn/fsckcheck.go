package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"klarsyn/policy/audit"
	"klarsyn/policy/audit/replay"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/fsck"
	"klarsyn/retention/fsck/story"
	"klarsyn/retention/keys"
	"klarsyn/retention/vault"
)

type fsckOptions struct {
	stray, grace time.Duration
	level        fsck.Level
	config       string // "": square.yaml of the data directory
	repair       bool
	progress     *fsckProgress // nil: nobody waits
}

// checkAll checks every invariant that this version keeps. It opens the databases by itself, so that it
// sees what lies there and not what a process remembers.
func checkAll(ctx context.Context, l layout, a addresses, o fsckOptions) ([]fsck.Result, error) {
	if _, err := os.Stat(l.catalogue()); err != nil && a.catalogue == "" {
		return nil, usageError{fmt.Errorf("%s is no data directory of Klarsyn: %w", l.root, err)}
	}
	db, err := openCatalogue(ctx, l, a)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	store, err := openObjects(ctx, l, a, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer store.close()
	keyDB, noKeys, err := openCheckedKeys(ctx, l, a)
	if err != nil {
		return nil, err
	}
	if keyDB.DB != nil {
		defer keyDB.Close()
	}
	now := time.Now()
	searched := fsck.Search(store)
	books := catalogue.Checked{Catalogue: &catalogue.Catalogue{DB: db.DB, Dialect: db.dialect}}
	check := fsck.Check{
		Books: books, HoldBooks: books, Recipients: books.Recipients, Store: searched, Now: now, Backgrounds: books.Backgrounds,
		Grace: o.grace, Stray: o.stray, Level: o.level, Workers: min(16, 4*runtime.NumCPU()), Progress: o.progress.tell,
		Spool:  func() ([]string, error) { return vault.Spooled(l.spool()) },
		Replay: func(ctx context.Context) (fsck.Story, error) { return replayed(ctx, db) },
		NoKeys: noKeys,
	}
	if keyDB.DB != nil {
		check.Keys = &keys.Store{DB: keyDB.DB}
	}
	check.Opens, check.NotOpened = openerOf(l, a, books.Catalogue, keyDB, noKeys)
	if s, ok := store.Store.(interface {
		LegallyHeld(ctx context.Context, key, version string) (bool, error)
	}); ok {
		check.LegallyHeld = s.LegallyHeld
	}
	// The log is long, and nobody else needs to wait for it.
	var results, logged []fsck.Result
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		results, err = fsck.Run(gctx, check)
		return err
	})
	g.Go(func() (err error) {
		logged, err = checkLog(gctx, l, db, now)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	plain, err := checkPlaintext(ctx, l, a, o, searched)
	if err != nil {
		return nil, err
	}
	results = inOrder(append(append(results, logged...), plain))
	return results, warnOfBackups(ctx, l, books.Catalogue, results, now)
}

// openCheckedKeys opens the key store for a check, which need not be allowed to: then it says why it did not.
func openCheckedKeys(ctx context.Context, l layout, a addresses) (rows, string, error) {
	if a.keys == "" {
		if _, err := os.Stat(l.keyStore()); errors.Is(err, fs.ErrNotExist) {
			return rows{}, "there is no key store in " + l.root + ", and none is named with --keys", nil
		}
	}
	keyDB, err := openKeyStore(ctx, l, a)
	if err == nil {
		// Who may enter need not be allowed to read.
		if _, err = (&keys.Store{DB: keyDB.DB}).DayKeys(ctx); err != nil {
			err = errors.Join(err, keyDB.Close())
		}
	}
	switch {
	case database.Denied(err):
		return rows{}, "whoever runs fsck may not read the key store: run it as retain or serve does", nil
	case err != nil:
		return rows{}, "", err
	}
	return keyDB, "", nil
}

// openerOf tries the keys of cases, where the opening half of the master key may be read: as the user of serve.
func openerOf(l layout, a addresses, books *catalogue.Catalogue, keyDB rows, noKeys string) (func(context.Context, string, string) error, string) {
	if keyDB.DB == nil {
		return nil, noKeys
	}
	masters := &keys.Ring{Load: func() (keys.Sealer, []keys.Opener, error) { return openMasters(l, a, mintsAndOpens) }}
	if err := masters.Reload(); err != nil {
		return nil, "whoever runs fsck may not open keys: run it as serve does"
	}
	ring := &keys.Store{DB: keyDB.DB, Opener: masters}
	return func(ctx context.Context, clip, caseNumber string) error {
		err := vault.CaseOpens(ctx, books, ring, clip, caseNumber)
		if errors.Is(err, keys.ErrNoKey) {
			return retention.ErrGone // that it is missing is said of the key
		}
		return err
	}, ""
}

// checkLog is I6 and I8.
func checkLog(ctx context.Context, l layout, db rows, now time.Time) ([]fsck.Result, error) {
	viewings, err := audit.VerifyViewings(ctx, db.DB, db.dialect)
	if err != nil {
		return nil, err
	}
	public, err := audit.LoadVerifier(l.audit())
	if err != nil {
		return nil, err
	}
	led, err := audit.Led(ctx, db.DB, now)
	if err != nil {
		return nil, err
	}
	log, err := audit.Verify(ctx, audit.Verification{DB: db.DB, Dialect: db.dialect, Verifier: public, Now: now, Stopped: !led})
	if err != nil {
		return nil, err
	}
	return []fsck.Result{
		fromReport("I6", "every footage response belongs to one viewing, logged before its first byte",
			"find out in the log who looked, and through which process: fsck writes no history, and changes none", viewings),
		fromReport("I8", "the audit log is gapless, its roots match, its checkpoints extend one another",
			"keep the database as it is for an inquiry, and compare it with what witnesses and exports remember (klarsyn verify log); restore it from a backup; fsck changes nothing of the log", log),
	}, nil
}

func fromReport(id, what, mend string, r audit.Report) fsck.Result {
	res := fsck.Result{ID: id, What: what, Checked: r.Checked}
	for _, v := range r.Violations {
		said := v.Place + ": " + v.What
		res.Violations = append(res.Violations, said)
		res.Findings = append(res.Findings, fsck.Finding{What: said, Rule: id, Row: v.Place, Mend: mend})
	}
	res.Judge()
	return res
}

// checkPlaintext is I11. Below the level of hashes no object is read for it.
func checkPlaintext(ctx context.Context, l layout, a addresses, o fsckOptions, searched *fsck.Searched) (fsck.Result, error) {
	search := fsck.Plaintext{Progress: o.progress.tell}
	folder, err := filepath.Abs(l.objects())
	if err != nil {
		return fsck.Result{}, err
	}
	search.Known = func(path string) (plain, known bool) {
		if path, err = filepath.Abs(path); err != nil {
			return false, false
		}
		key, err := filepath.Rel(folder, path)
		if err != nil {
			return false, false
		}
		return searched.Found(filepath.ToSlash(key))
	}
	if o.level != fsck.Hash {
		search.Without = l.objects()
	}
	plain, err := search.Search(ctx, l.root)
	if err != nil {
		return plain, err
	}
	switch {
	case o.level != fsck.Hash:
		plain.What = "no plaintext footage lies in any file"
		plain.Skipped = append(plain.Skipped, "the objects: --level hash reads them")
	case a.objects != "": // else the objects lie in one of the folders
		objects, err := searched.NoPlaintext(ctx)
		if err != nil {
			return plain, err
		}
		plain = together(plain, objects)
	}
	plain.Judge()
	return plain, nil
}

// together is one invariant that was checked in two places.
func together(a, b fsck.Result) fsck.Result {
	a.What = "no plaintext footage lies in any file or object"
	a.Checked += b.Checked
	a.Violations = append(a.Violations, b.Violations...)
	a.Findings = append(a.Findings, b.Findings...)
	a.Skipped = append(a.Skipped, b.Skipped...)
	a.Verdict = ""
	return a
}

// replayed is what the log says of clips.
func replayed(ctx context.Context, db rows) (fsck.Story, error) {
	log, err := audit.New(audit.Config{DB: db.DB, Dialect: db.dialect, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	oldest, err := log.Entries(ctx, audit.Query{Limit: 1})
	if errors.Is(err, audit.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", fsck.ErrStory, err)
	}
	if err != nil {
		return nil, err
	}
	var begins time.Time
	if len(oldest) == 1 && oldest[0].Seq > 0 {
		begins = oldest[0].Time
	}
	clips, err := audit.Replay(ctx, db.DB, db.dialect)
	if errors.Is(err, replay.ErrEntry) {
		err = fmt.Errorf("%w: %w", fsck.ErrStory, err)
	}
	return story.Of(clips, begins), err
}
