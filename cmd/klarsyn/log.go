package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/policy"
	"klarsyn/policy/audit"
)

func logCommand(std stdio) *cobra.Command {
	return commandGroup("log", "The audit log: export it, change its signing key", "  klarsyn log export --data /var/lib/klarsyn -o log-2026-11",
		logExportCommand(std), logRotateCommand(std))
}

func logExportCommand(std stdio) *cobra.Command {
	var c common
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "export", Short: "Copy the log for whoever checks it elsewhere",
		Long: `export writes the audit log into a directory: every entry, the tree over them as tiles, every checkpoint with
what witnesses said of it, and the public keys. Whoever has the log's public key can check it with
klarsyn verify log, on another machine and without asking anybody.

An older export of the same log is brought up to date: only what is new is written. An export of what the log
never was, or is no more, is refused. The entries name the people who work with the footage: keep the
directory as you would keep the log. That the log was exported is itself an entry of the log.`,
		Example: "  klarsyn log export --data /var/lib/klarsyn -o log-2026-11\n  klarsyn verify log --dir log-2026-11 --key audit.pub",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.open(cmd.Context(), std, 0, false)
			if err != nil {
				return err
			}
			said, err := s.exportLog(cmd.Context(), out, newProgress(std.err, "entries written"))
			if err = errors.Join(err, s.close()); err != nil {
				return err
			}
			if asJSON {
				return printJSON(std.out, said)
			}
			fmt.Fprintf(std.out, "log %s: entries %d to %d, %d checkpoints, root %s\n%d files written to %s; check them with: klarsyn verify log --dir %s --key audit.pub\n",
				said.Log, said.FirstEntry, said.Entries-1, said.Checkpoints, said.Root, said.Files, out, out)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "directory to write (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was exported as JSON")
	require(cmd, "output")
	return cmd
}

// exportLog logs that the log is exported, and then exports it.
func (s *site) exportLog(ctx context.Context, out string, p *progress) (audit.Exported, error) {
	public, err := audit.LoadVerifier(s.layout.audit())
	if err != nil {
		return audit.Exported{}, err
	}
	size, err := s.log.Size(ctx)
	if err != nil {
		return audit.Exported{}, err
	}
	e := policy.LogExportedEntry(policy.Subject{Name: commandActor()}, originOf(public), 0, size, policy.Recipient{})
	if err := s.log.Record(ctx, e); err != nil {
		return audit.Exported{}, err
	}
	return s.log.Export(ctx, audit.Export{Dir: out, Keys: []string{public}, Progress: p.tell})
}

func logRotateCommand(std stdio) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use: "rotate", Short: "Give the log another signing key",
		Long: `rotate makes a new signing key. The running klarsyn retain takes it within a second, or the next one does: both
keys sign one checkpoint that names both, and from then on the new key signs alone and the old one is destroyed.
Whoever trusts either of them can check the whole log. rotate prints the new public key: give it to those who
check the log, who find it in audit.pub as well.

Run it as the user that klarsyn retain runs as.`,
		Example: "  klarsyn log rotate --data /var/lib/klarsyn",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			public, err := audit.PrepareRotation(layout{data}.audit())
			if err != nil {
				return err
			}
			fmt.Fprintln(std.out, public)
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory (required)")
	require(cmd, "data")
	return cmd
}

func proofCommand(std stdio) *cobra.Command {
	return commandGroup("proof", "Prove what the log holds", "  klarsyn proof entry --data /var/lib/klarsyn --index 17 -o entry-17.tlog-proof", proofEntryCommand(std), proofDeletionCommand(std))
}

func proofEntryCommand(std stdio) *cobra.Command {
	var c common
	var out string
	var index int64
	cmd := &cobra.Command{
		Use: "entry", Short: "Prove that one entry is in the log",
		Long: `entry writes a proof (C2SP tlog-proof) that the entry of that number is in the log: the entry, its way to the
root of the tree, and a checkpoint with the cosignatures that it has. The proof can be given to somebody who may not
see the rest of the log, and holds when the entry itself is gone. Asking for it is an entry of the log.`,
		Example: "  klarsyn proof entry --data /var/lib/klarsyn --index 17 -o entry-17.tlog-proof\n  klarsyn verify entry --proof entry-17.tlog-proof --key audit.pub",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.open(cmd.Context(), std, 0, false)
			if err != nil {
				return err
			}
			err = errors.Join(s.proveEntry(cmd.Context(), index, out), s.close())
			if errors.Is(err, audit.ErrNoEntry) {
				return usageError{err}
			}
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().Int64Var(&index, "index", 0, "number of the entry; the first is 0 (required)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write (required)")
	require(cmd, "index")
	require(cmd, "output")
	return cmd
}

func (s *site) proveEntry(ctx context.Context, index int64, out string) error {
	e := policy.LogReadEntry(policy.Subject{Name: commandActor()}, policy.LogQuestion{Proof: strconv.FormatInt(index, 10)})
	if err := s.log.Record(ctx, e); err != nil {
		return err
	}
	p, err := s.log.Prove(ctx, index)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, []byte(p.Format()), 0o600); err != nil {
		return fmt.Errorf("write the proof: %w", err)
	}
	return nil
}

// commandActor names whoever runs a command on the machine itself.
func commandActor() string {
	if who, err := user.Current(); err == nil && who.Username != "" {
		return "command:" + who.Username
	}
	return "command:" + strconv.Itoa(os.Getuid())
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// progress tells on standard error how far long work is: nothing for the first two seconds, then a line every two.
type progress struct {
	out  io.Writer
	what string
	next time.Time
}

const progressEvery = 2 * time.Second

func newProgress(out io.Writer, what string) *progress {
	return &progress{out: out, what: what, next: time.Now().Add(progressEvery)}
}

func (p *progress) tell(done, of int64) {
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(progressEvery)
		fmt.Fprintf(p.out, "%d of %d %s\n", done, of, p.what)
	}
}
