package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/policy/audit/verify"
)

func verifyDeletionCommand(std stdio) *cobra.Command {
	var f proofFlags
	var clip string
	cmd := &cobra.Command{
		Use: "deletion", Short: "Check the proof that a clip was deleted",
		Long: `deletion checks a proof that klarsyn proof deletion or the server's page gave. It needs the log's public key and nothing
else: no network, and no Klarsyn beside this command. Every entry in the proof must be in the log that its checkpoint signs,
and the tombstone must say what they say. It tells how long after its deadline, or after the last hold let go of it, the clip
was unreadable, and how long after that its bytes were gone.

With --clip the proof must be of that clip. With --witness and --quorum it must bear the cosignatures of so many witnesses.

Exit code: 0 the clip was deleted as the proof says, 1 the proof does not hold, 2 wrong use.`,
		Example: "  klarsyn verify deletion --proof deletion.json --key audit.pub\n  klarsyn verify deletion --proof deletion.json --key audit.pub --witness witnesses.pub --quorum 1 --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("clip") {
				if err := checkClipID(clip); err != nil {
					return err
				}
			}
			text, keys, witnesses, err := f.read()
			if err != nil {
				return err
			}
			p, err := verify.ParseDeletionProof(text)
			if err != nil {
				return fmt.Errorf("%s: %w", f.proof, err)
			}
			d, err := p.Check(keys, witnesses, f.quorum)
			if err == nil && clip != "" && clip != d.Tombstone.Clip {
				err = fmt.Errorf("%w: it is of clip %s, not %s", verify.ErrNotProven, d.Tombstone.Clip, clip)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.proof, err)
			}
			if f.asJSON {
				return printJSON(std.out, shownDeletion(d))
			}
			printDeletion(std.out, d)
			return nil
		},
	}
	f.add(cmd, "deletion", "what is proven")
	cmd.Flags().StringVar(&clip, "clip", "", "id of the clip that the proof must be of")
	return cmd
}

// deletionReport is what a proof shows, as JSON has it.
type deletionReport struct {
	Log        string            `json:"log"`
	Tombstone  verify.Tombstone  `json:"tombstone"`
	Due        time.Time         `json:"due"`                // its deadline, or when the last hold let go of it
	Unreadable float64           `json:"unreadable_seconds"` // after it was due
	Gone       float64           `json:"gone_seconds"`       // after it was due
	Holds      []verify.HeldFor  `json:"holds"`
	Entries    []verify.Said     `json:"entries"`
	Checkpoint int64             `json:"checkpoint"`
	Size       int64             `json:"size"`
	Root       string            `json:"root"`
	Signed     time.Time         `json:"signed"`
	Cosigned   []verify.Cosigned `json:"cosigned"`
}

func shownDeletion(d verify.Deletion) deletionReport {
	holds := d.Holds
	if holds == nil {
		holds = []verify.HeldFor{}
	}
	return deletionReport{
		Log: d.Checkpoint.Origin, Tombstone: d.Tombstone, Due: d.Due, Unreadable: d.ShreddedAfter().Seconds(), Gone: d.DeletedAfter().Seconds(),
		Holds: holds, Entries: d.Entries, Checkpoint: d.Checkpoint.Number, Size: d.Checkpoint.Size, Root: d.Checkpoint.Root.String(),
		Signed: d.Checkpoint.Time, Cosigned: d.Cosigned,
	}
}

func printDeletion(w io.Writer, d verify.Deletion) {
	t := d.Tombstone
	fmt.Fprintf(w, "deleted: clip %s of camera %s, under permit %s version %d\n", t.Clip, t.Camera, t.Permit, t.PermitVersion)
	to := "an end that never became known"
	if !t.To.IsZero() {
		to = t.To.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "recorded    %s to %s\n", t.From.Format(time.RFC3339), to)
	if t.SHA256 != "" {
		fmt.Fprintf(w, "sealed      %d bytes, SHA-256 %s\n", t.Size, t.SHA256)
	} else {
		fmt.Fprintln(w, "sealed      nothing was stored")
	}
	fmt.Fprintf(w, "deadline    %s\n", t.Deadline.Format(time.RFC3339))
	for _, h := range d.Holds {
		fmt.Fprintf(w, "held        by %s for case %s, %s to %s\n", h.Hold, h.Case, h.Placed.Format(time.RFC3339), h.Ended.Format(time.RFC3339))
	}
	after := "its deadline"
	if !d.Due.Equal(t.Deadline) {
		after = "it was let go"
	}
	fmt.Fprintf(w, "unreadable  %s, %s after %s\n", t.ShreddedAt.Format(time.RFC3339), d.ShreddedAfter().Round(time.Millisecond), after)
	fmt.Fprintf(w, "gone        %s, %s after %s: %d versions removed, a listing found %d\n", t.DeletedAt.Format(time.RFC3339),
		d.DeletedAfter().Round(time.Millisecond), after, t.Versions, t.Listed)
	fmt.Fprintf(w, "log         %s says so in %d entries, %d to %d; checkpoint %d of %d entries is signed", d.Checkpoint.Origin, len(d.Entries),
		d.Entries[0].Index, d.Entries[len(d.Entries)-1].Index, d.Checkpoint.Number, d.Checkpoint.Size)
	for _, c := range d.Cosigned {
		fmt.Fprintf(w, ", and cosigned by %s at %s", c.Witness, c.Time.Format(time.RFC3339))
	}
	fmt.Fprintln(w)
}
