package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/retention/fsck"
)

// errViolations is a failed check: exit code 1.
var errViolations = errors.New("invariants are violated")

func fsckCommand(std stdio) *cobra.Command {
	var data, level string
	var a addresses
	var asJSON bool
	var o fsckOptions
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check that rows, objects, keys, holds and the log agree, and repair what is safe",
		Long: `fsck reads a data directory and checks the promises that it must keep: that every object has a
row and every committed clip its bytes, that nothing outlives its deadline and nothing that is held
goes, that every look was logged before its first byte, that the log is whole and says what the rows
say, that no key is missing and none is left over, that no plaintext lies anywhere, and that every
second of a camera is accounted for. It may run beside the processes it checks.

--level says how deep it looks into objects: presence asks whether they are listed, size holds the
listing's sizes against the rows, and hash, which is what it does otherwise, reads each of them and
searches it for plaintext.

It changes nothing, unless --repair is given: then it does what is safe, logs each repair, and checks
once more. Safe is what klarsyn retain does anyway (removing strays, finishing deletions, destroying
keys that nobody needs), and destroying what should have been destroyed, and counting holds again. A
missing or changed object, a hole in the timeline and a damaged log are never touched: what to do about
them is said with each. On servers --repair needs the rights of retain; for what holds keep and how they
are counted those of serve.

Exit code: 0 all invariants hold, 1 a violation was found (with --repair: is left), 2 wrong use.`,
		Example: "  klarsyn fsck --data /var/lib/klarsyn\n  klarsyn fsck --data /var/lib/klarsyn --level presence --json\n  klarsyn fsck --data /var/lib/klarsyn --repair",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			l := layout{data}
			if o.level, err = levelOf(level); err != nil {
				return err
			}
			a, err := a.configured(l, o.config)
			if err != nil {
				return err
			}
			o.progress = newFsckProgress(std.err)
			if os.Getenv("GOGC") == "" {
				// What is remembered of each clip grows with their number: half of it again, and not all, may be garbage.
				defer debug.SetGCPercent(debug.SetGCPercent(50))
			}
			results, err := checkAll(cmd.Context(), l, a, o)
			if err != nil {
				return err
			}
			if o.repair {
				if results, err = repairAll(cmd.Context(), l, a, o, results, std.err); err != nil {
					return err
				}
			}
			if asJSON {
				enc := json.NewEncoder(std.out)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
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
	cmd.Flags().StringVar(&o.config, "config", "", "configuration file (default: square.yaml in the data directory)")
	a.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the results as JSON")
	cmd.Flags().StringVar(&level, "level", "hash", "how deep to look into objects: presence, size or hash")
	cmd.Flags().BoolVar(&o.repair, "repair", false, "repair what is safe to repair, with the rights of retain")
	cmd.Flags().DurationVar(&o.stray, "stray", 90*time.Minute, "how old an object without a clip may be before it is a violation (retain removes it after an hour, looking every ten minutes)")
	cmd.Flags().DurationVar(&o.grace, "grace", time.Minute, "how long after its deadline a clip may still be on its way out")
	require(cmd, "data")
	return cmd
}

// levelOf reads --level.
func levelOf(name string) (fsck.Level, error) {
	for level, is := range map[fsck.Level]string{fsck.Presence: "presence", fsck.Size: "size", fsck.Hash: "hash"} {
		if name == is {
			return level, nil
		}
	}
	return 0, usageError{fmt.Errorf("--level %s: want presence, size or hash", name)}
}

// fsckProgress tells whoever waits how far a long check came, on stderr: nothing in the first seconds.
type fsckProgress struct {
	std   io.Writer
	words chan string
	began time.Time
}

func newFsckProgress(std io.Writer) *fsckProgress {
	p := &fsckProgress{std: std, words: make(chan string, 1), began: time.Now()}
	p.words <- "" // whoever holds the token may speak
	return p
}

// quietFor is how long a check says nothing, and how long it is silent between two words.
const quietFor = 5 * time.Second

// tell is called from several goroutines, and waits for nobody.
func (p *fsckProgress) tell(what string, done int) {
	if p == nil {
		return
	}
	select {
	case token := <-p.words:
		if now := time.Now(); now.Sub(p.began) >= quietFor {
			p.began = now
			fmt.Fprintf(p.std, "fsck: %d %s\n", done, what)
		}
		p.words <- token
	default:
	}
}

func violations(results []fsck.Result) int {
	n := 0
	for _, r := range results {
		n += len(r.Violations)
	}
	return n
}

// inOrder puts results in the order of the invariants.
func inOrder(results []fsck.Result) []fsck.Result {
	slices.SortFunc(results, func(a, b fsck.Result) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return results
}

func printResults(w io.Writer, results []fsck.Result) {
	line := func(format string, args ...any) {
		fmt.Fprintf(w, "       %s\n", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
	}
	for _, r := range results {
		verdict := string(r.Verdict)
		if len(r.Violations) > 0 {
			verdict = fmt.Sprintf("VIOLATED %d times", len(r.Violations))
		}
		fmt.Fprintf(w, "%-4s %-8s %6d checked  %s\n", r.ID, verdict, r.Checked, r.What)
		for _, f := range r.Repaired {
			line("repaired: %s: %s", f.What, f.Did)
		}
		for _, f := range r.Findings {
			line("%s", f.What)
			line("  mend: %s", f.Mend)
		}
		for _, s := range r.Warnings {
			line("warning: %s", s)
		}
		for _, s := range r.Skipped {
			line("not looked into: %s", s)
		}
	}
}
