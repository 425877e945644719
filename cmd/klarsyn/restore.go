package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/retention/catalogue"
)

// restoreOptions are what a restore is told.
type restoreOptions struct {
	common
	from, keysFrom, log, key string
	replace, reap, reconcile bool
}

func restoreCommand(std stdio) *cobra.Command {
	var o restoreOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Put a backup back, and delete again what was deleted since",
		Long: `restore puts the rows of a backup, and with --keys-from its keys, into an empty data directory or database. Serve, ingest and
retain must be stopped; until restore has come to its end none of them starts, and a restore that was interrupted is repeated.

What was deleted since the backup was made is deleted again before anybody may look: give the newest copy of the log with --log
(klarsyn log export), or let --replace find the old catalogue, whose log is read if it can be. The newer log must grow from the
backup's: a fork is refused. Holds that were placed since hold again, for which master/master.key must be there. Without a newer
log nobody knows what was deleted since: restore says so, and makes unreadable what is past its deadline by now.

What lies in the object store and nothing explains is only told. It goes when somebody says so with --reap; until then nothing that
has no clip is removed. Nothing can open it: what would have lay in the rows that were lost.

With --reconcile, and without --from, the rows that are there are to hold, although the objects beside them are newer.`,
		Example: "  klarsyn restore --data /var/lib/klarsyn --from /backup/rows/2026-11-27 --keys-from /backup/keys/2026-11-27 --log log-2026-11 --replace\n" +
			"  klarsyn restore --data /var/lib/klarsyn --reconcile --reap",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.from == "") == !o.reconcile {
				return usageError{errors.New("want either --from FOLDER or --reconcile; see klarsyn restore --help")}
			}
			r, err := newRestore(cmd.Context(), o, std.logger(slog.LevelInfo))
			if err != nil {
				return err
			}
			said, err := r.run(cmd.Context())
			if err = errors.Join(err, r.close()); err != nil {
				return err
			}
			if asJSON {
				return printJSON(std.out, said)
			}
			printRestored(std.out, said)
			return nil
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.from, "from", "", "folder of the backup of the rows")
	cmd.Flags().StringVar(&o.keysFrom, "keys-from", "", "folder of the backup of the key store (default: the key store stays as it is)")
	cmd.Flags().StringVar(&o.log, "log", "", "newest copy of the log, as klarsyn log export wrote it")
	cmd.Flags().StringVar(&o.key, "key", "", "file with the log's public key (default: audit/audit.pub in the data directory)")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "move aside what is there")
	cmd.Flags().BoolVar(&o.reap, "reap", false, "the operator's word that objects which nothing explains may go")
	cmd.Flags().BoolVar(&o.reconcile, "reconcile", false, "let the rows hold that are there, although the objects are newer")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	return cmd
}

// restored is what a restore came to.
type restored struct {
	Backup   string             `json:"backup"`
	Made     time.Time          `json:"made,omitzero"`
	Epoch    int64              `json:"epoch"`
	Known    time.Time          `json:"known_until,omitzero"` // up to when the log tells what was deleted
	Unknown  string             `json:"unknown,omitempty"`    // what nobody can say
	Replayed catalogue.Replayed `json:"replayed"`
	Due      int                `json:"due"`     // clips past their deadline by now: unreadable since
	Missing  []string           `json:"missing"` // clips whose object is not in the store
	Strays   []string           `json:"strays"`  // objects that no clip owns
	Reaped   int                `json:"reaped"`
	Aside    []string           `json:"aside"` // where is what was there before
	Next     []string           `json:"next"`  // what is left to do
}

func printRestored(w io.Writer, r restored) {
	fmt.Fprintf(w, "backup %s", r.Backup)
	if !r.Made.IsZero() {
		fmt.Fprintf(w, " of %s", r.Made.Format(time.RFC3339))
	}
	fmt.Fprintf(w, " holds, as epoch %d\n", r.Epoch)
	p := r.Replayed
	if !r.Known.IsZero() {
		fmt.Fprintf(w, "from the log up to %s: %d entries; %d clips deleted again, %d deadlines nearer, %d clips rebuilt of which %d can be opened by nobody, %d steps of permits, %d holds again, %d lifted\n",
			r.Known.Format(time.RFC3339), p.Entries, p.Shredded, p.Moved, p.Rebuilt, len(p.Lost), p.Permits, len(p.HeldAgain), len(p.Lifted))
	}
	if r.Unknown != "" {
		fmt.Fprintf(w, "UNKNOWN: %s\n", r.Unknown)
	}
	fmt.Fprintf(w, "%d clips were past their deadline: unreadable now\n", r.Due)
	for _, list := range []struct {
		what string
		ids  []string
	}{{"held, and lost:", p.HeldLost}, {"its object is missing:", r.Missing}, {"no clip owns:", r.Strays}, {"moved aside:", r.Aside}, {"next:", r.Next}} {
		for _, id := range list.ids {
			fmt.Fprintf(w, "%s %s\n", list.what, id)
		}
	}
	if r.Reaped > 0 {
		fmt.Fprintf(w, "%d objects removed\n", r.Reaped)
	}
}
