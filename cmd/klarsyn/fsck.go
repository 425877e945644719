package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/policy/audit"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/fsck"
	"klarsyn/retention/vault"
)

// errViolations is a failed check: exit code 1.
var errViolations = errors.New("invariants are violated")

func fsckCommand(std stdio) *cobra.Command {
	var data, configured string
	var a addresses
	var asJSON bool
	var stray, grace time.Duration
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check that rows, objects, keys and the log agree",
		Long: `fsck reads a data directory and checks the promises that it must keep: that every object has a
row and every committed clip its bytes, that nothing outlives its deadline, that every look was logged
before its first byte, that the log is whole, that no plaintext lies anywhere, and that every second of
a camera is accounted for. It changes nothing. It may run beside the processes it checks.

Exit code: 0 all invariants hold, 1 a violation was found, 2 wrong use.`,
		Example: "  klarsyn fsck --data /var/lib/klarsyn\n  klarsyn fsck --data /var/lib/klarsyn --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := layout{data}
			a, err := a.configured(l, configured)
			if err != nil {
				return err
			}
			results, err := checkAll(cmd.Context(), l, a, fsckOptions{stray: stray, grace: grace})
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(std.out)
				enc.SetIndent("", "  ")
				if err := enc.Encode(results); err != nil {
					return err
				}
			} else {
				printResults(std.out, results)
			}
			if violations(results) > 0 {
				return errViolations
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory to check (required)")
	cmd.Flags().StringVar(&configured, "config", "", "configuration file (default: square.yaml in the data directory)")
	a.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the results as JSON")
	cmd.Flags().DurationVar(&stray, "stray", 90*time.Minute, "how old an object without a clip may be before it is a violation (retain removes it after an hour, looking every ten minutes)")
	cmd.Flags().DurationVar(&grace, "grace", time.Minute, "how long after its deadline a clip may still be on its way out")
	require(cmd, "data")
	return cmd
}

type fsckOptions struct{ stray, grace time.Duration }

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
	now := time.Now()
	searched := fsck.Search(store)
	books := &catalogue.Catalogue{DB: db.DB, Dialect: db.dialect}
	results, err := fsck.Run(ctx, fsck.Check{
		Books: catalogue.Checked{Catalogue: books}, Store: searched, Now: now, Backgrounds: books.Backgrounds,
		Grace: o.grace, Stray: o.stray,
		Spool: func() ([]string, error) { return vault.Spooled(l.spool()) },
	})
	if err != nil {
		return nil, err
	}
	viewings, err := audit.VerifyViewings(ctx, db.DB, db.dialect)
	if err != nil {
		return nil, err
	}
	results = append(results, fromReport("I6", "every footage response belongs to one viewing, logged before its first byte", viewings))

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
	results = append(results, fromReport("I8", "the audit log is gapless, its roots match, its checkpoints extend one another", log))

	plain, err := fsck.NoPlaintext(ctx, l.root)
	if err != nil {
		return nil, err
	}
	if a.objects != "" { // else the objects lie in one of the folders
		objects, err := searched.NoPlaintext(ctx)
		if err != nil {
			return nil, err
		}
		plain = together(plain, objects)
	}
	results = append(results, plain)
	slices.SortFunc(results, func(a, b fsck.Result) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return results, nil
}

// together is one invariant that was checked in two places.
func together(a, b fsck.Result) fsck.Result {
	a.What = "no plaintext footage lies in any file or object"
	a.Checked += b.Checked
	a.Violations = append(a.Violations, b.Violations...)
	a.Skipped = append(a.Skipped, b.Skipped...)
	return a
}

func fromReport(id, what string, r audit.Report) fsck.Result {
	res := fsck.Result{ID: id, What: what, Checked: r.Checked, Violations: []string{}}
	for _, v := range r.Violations {
		res.Violations = append(res.Violations, v.Place+": "+v.What)
	}
	return res
}

func violations(results []fsck.Result) int {
	n := 0
	for _, r := range results {
		n += len(r.Violations)
	}
	return n
}

func printResults(w io.Writer, results []fsck.Result) {
	for _, r := range results {
		verdict := "holds"
		if len(r.Violations) > 0 {
			verdict = fmt.Sprintf("VIOLATED %d times", len(r.Violations))
		}
		fmt.Fprintf(w, "%-4s %-8s %6d checked  %s\n", r.ID, verdict, r.Checked, r.What)
		for _, v := range r.Violations {
			fmt.Fprintf(w, "       %s\n", strings.ReplaceAll(v, "\n", " "))
		}
		for _, s := range r.Skipped {
			fmt.Fprintf(w, "       not looked into: %s\n", strings.ReplaceAll(s, "\n", " "))
		}
	}
}
