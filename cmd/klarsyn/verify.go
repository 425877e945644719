package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

func verifyCommand(std stdio) *cobra.Command {
	return commandGroup("verify", "Check the log, or a proof from it, without trusting whoever wrote it", "  klarsyn verify log --dir log-2026-11 --key audit.pub",
		verifyLogCommand(std), verifyEntryCommand(std), verifyDeletionCommand(std), verifyAbsenceCommand(std))
}

func verifyLogCommand(std stdio) *cobra.Command {
	var dir, key, witness string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "log", Short: "Check an exported log, entry by entry",
		Long: `log checks a log that klarsyn log export wrote: every entry and every tile hashed anew, numbers without a gap,
times that never decrease, every checkpoint signed, none missing and each the root of all entries before it, and every
cosignature. It needs no network and no Klarsyn beside this command. The first bad place is named first.

Take --key from whom you trust, once, and keep it: the key that lies in the export proves nothing. A log's owner who
has the key could write the whole log anew; that is what witnesses are for. Give their keys with --witness, and
see which checkpoint each has seen.

Exit code: 0 the log is whole, 1 something is wrong, 2 wrong use.`,
		Example: "  klarsyn verify log --dir log-2026-11 --key audit.pub\n  klarsyn verify log --dir log-2026-11 --key audit.pub --witness witnesses.pub --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(filepath.Join(dir, leaf.Newest)); errors.Is(err, fs.ErrNotExist) {
				if _, err := os.Stat(filepath.Join(dir, "tile")); err != nil {
					return usageError{fmt.Errorf("%s is no exported log: want what klarsyn log export -o wrote", dir)}
				}
			}
			o := verify.Options{Progress: newProgress(std.err, "entries checked").tell}
			var err error
			if o.Keys, err = readKeys(key); err != nil {
				return err
			}
			if o.Witnesses, err = readWitnesses(witness); err != nil {
				return err
			}
			begun := time.Now()
			report, err := verify.Dir(cmd.Context(), dir, o)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(std.out, report)
			} else {
				printLogReport(std.out, report, time.Since(begun))
			}
			if err == nil && len(report.Problems) > 0 {
				err = errViolations
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory that klarsyn log export wrote (required)")
	cmd.Flags().StringVar(&key, "key", "", "file with the log's public key, its audit.pub (required)")
	cmd.Flags().StringVar(&witness, "witness", "", "file with the public keys of witnesses, one to a line")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	require(cmd, "dir")
	require(cmd, "key")
	return cmd
}

func printLogReport(w io.Writer, r *verify.Report, took time.Duration) {
	for i, p := range r.Problems {
		lead := "          "
		if i == 0 {
			lead = "BROKEN at "
		}
		fmt.Fprintf(w, "%s%s: %s\n", lead, p.Place, p.What)
	}
	if len(r.Problems) > 0 {
		return
	}
	fmt.Fprintf(w, "whole: log %s, %d entries, %d checkpoints, in %s\n", r.Log, r.Entries, r.Checkpoints, took.Round(10*time.Millisecond))
	if r.FirstEntry > 0 {
		fmt.Fprintf(w, "       entries before %d were removed when their time was over, and the log says so\n", r.FirstEntry)
	}
	fmt.Fprintf(w, "root   %s\nsigned %s\n", r.Root, r.Newest.Format(time.RFC3339))
	if len(r.Keys) > 1 {
		fmt.Fprintf(w, "keys   %d followed one another\n", len(r.Keys))
	}
	for _, c := range r.Cosigned {
		doubt := ""
		if !c.Given {
			doubt = " (its key is from the log itself: ask the witness for it, and give it with --witness)"
		}
		fmt.Fprintf(w, "seen   by %s up to entry %d, at %s%s\n", c.Witness, c.Size-1, c.Time.Format(time.RFC3339), doubt)
	}
	if len(r.Cosigned) == 0 {
		fmt.Fprintln(w, "seen   by no witness: whoever has the signing key could have written all of it anew")
	}
}

// proofFlags are what a proof is checked with.
type proofFlags struct {
	proof, key, witness string
	quorum              int
	asJSON              bool
}

func (f *proofFlags) add(cmd *cobra.Command, wrote, shown string) {
	cmd.Flags().StringVar(&f.proof, "proof", "", "file that klarsyn proof "+wrote+" wrote (required)")
	cmd.Flags().StringVar(&f.key, "key", "", "file with the log's public key, its audit.pub (required)")
	cmd.Flags().StringVar(&f.witness, "witness", "", "file with the public keys of witnesses, one to a line")
	cmd.Flags().IntVar(&f.quorum, "quorum", 0, "how many of those witnesses must have cosigned")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print "+shown+" as JSON")
	require(cmd, "proof")
	require(cmd, "key")
}

// read gives the proof's text, and the keys of the log and of witnesses.
func (f *proofFlags) read() (text string, keys []string, witnesses []*verify.Witness, err error) {
	b, err := os.ReadFile(f.proof)
	if err != nil {
		return "", nil, nil, usageError{fmt.Errorf("--proof: %w", err)}
	}
	if keys, err = readKeys(f.key); err != nil {
		return "", nil, nil, err
	}
	if witnesses, err = readWitnesses(f.witness); err != nil {
		return "", nil, nil, err
	}
	if f.quorum > len(witnesses) {
		return "", nil, nil, usageError{fmt.Errorf("--quorum %d: --witness names %d", f.quorum, len(witnesses))}
	}
	return string(b), keys, witnesses, nil
}

func verifyEntryCommand(std stdio) *cobra.Command {
	var f proofFlags
	cmd := &cobra.Command{
		Use: "entry", Short: "Check the proof of one entry",
		Long: `entry checks a proof that klarsyn proof entry wrote, and shows the entry. It needs the log's public key and
nothing else. With --witness and --quorum it asks for the cosignatures of so many witnesses, too.

Exit code: 0 the entry is in the log, 1 the proof does not hold, 2 wrong use.`,
		Example: "  klarsyn verify entry --proof entry-17.tlog-proof --key audit.pub",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			text, keys, witnesses, err := f.read()
			if err != nil {
				return err
			}
			p, err := verify.ParseProof(text)
			if err != nil {
				return fmt.Errorf("%s: %w", f.proof, err)
			}
			proven, err := p.Check(keys, witnesses, f.quorum)
			if err != nil {
				return fmt.Errorf("%s: %w", f.proof, err)
			}
			return printProven(std.out, p.Index, proven, f.asJSON)
		},
	}
	f.add(cmd, "entry", "the entry and what proves it")
	return cmd
}

func printProven(w io.Writer, index int64, p verify.Proven, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Log        string            `json:"log"`
			Index      int64             `json:"index"`
			Sequenced  time.Time         `json:"sequenced"`
			Entry      json.RawMessage   `json:"entry"`
			Size       int64             `json:"size"`
			Root       string            `json:"root"`
			Checkpoint int64             `json:"checkpoint"`
			Cosigned   []verify.Cosigned `json:"cosigned"`
		}{p.Checkpoint.Origin, index, p.Sequenced, p.Entry, p.Checkpoint.Size, p.Checkpoint.Root.String(), p.Checkpoint.Number, p.Cosigned})
	}
	fmt.Fprintf(w, "%s\nis entry %d of log %s, numbered %s; checkpoint %d of %d entries is signed", p.Entry, index, p.Checkpoint.Origin,
		p.Sequenced.Format(time.RFC3339), p.Checkpoint.Number, p.Checkpoint.Size)
	for _, c := range p.Cosigned {
		fmt.Fprintf(w, ", and cosigned by %s at %s", c.Witness, c.Time.Format(time.RFC3339))
	}
	fmt.Fprintln(w)
	return nil
}

func readKeys(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("--key: %w", err)}
	}
	keys, err := verify.ParseKeys(string(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("--key %s: %w", path, err)}
	}
	return keys, nil
}

func readWitnesses(path string) ([]*verify.Witness, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("--witness: %w", err)}
	}
	witnesses, err := verify.ParseWitnesses(string(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("--witness %s: %w", path, err)}
	}
	return witnesses, nil
}

// originOf is the name in a verifier key.
func originOf(key string) string {
	name, _, _ := strings.Cut(key, "+")
	return name
}
