package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"klarsyn/policy"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
)

func keysCommand(std stdio) *cobra.Command {
	return commandGroup("keys", "The keys that footage is sealed with", "  klarsyn keys rotate-master --data /var/lib/klarsyn", rotateMasterCommand(std))
}

func rotateMasterCommand(std stdio) *cobra.Command {
	var c common
	var to string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate-master",
		Short: "Seal every key under a new master key, and destroy the one before",
		Long: `rotate-master makes a new master key, or a new version of it on a key server, seals every day key and
case key under it, one by one, and then destroys the one before: what older backups of the key store hold
is closed for good. It touches no clip. The other processes go on meanwhile. Interrupted at any moment,
it is ended by running it again.

Run it as the owner of the key store who may read both halves of the master key. To move to another
master key, write it as master: into the configuration, and the one that is left as master_before: if
that is on a key server; then run this with --to.`,
		Example: "  klarsyn keys rotate-master --data /var/lib/klarsyn\n" +
			"  klarsyn keys rotate-master --data /var/lib/klarsyn --to 'hashivault://square?server=https://kms.example:8200&token=rotate.token'",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.open(cmd.Context(), std, 0, false)
			if err != nil {
				return err
			}
			done, err := s.rotateMaster(cmd.Context(), to)
			if err := errors.Join(err, s.close()); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(std.out).Encode(done)
			}
			fmt.Fprintf(std.out, "%d day keys and %d case keys are sealed under %s, version %d; the master key before is destroyed\n",
				done.Days, done.Cases, done.Master, done.Version)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "the master key to move to: file, or hashivault://KEY?server=…; the configuration must name the same (default: a new one of the same kind)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	return cmd
}

// rotateMaster rotates the master key that is configured, or moves the keys to it.
func (s *site) rotateMaster(ctx context.Context, to string) (done keys.Rotated, err error) {
	if err := s.mayMove(to); err != nil {
		return done, err
	}
	unlock, err := lockFile(ctx, filepath.Join(s.layout.keyFolder(), "rotate.lock"))
	if err != nil {
		return done, err
	}
	defer unlock()
	keyDB, err := openKeyStore(ctx, s.layout, s.addresses)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, keyDB.Close()) }()
	r := &keys.Rotation{
		Store: &keys.Store{DB: keyDB.DB, Now: s.clock.Logging}, Scrub: keyDB.scrub,
		Log: func(ctx context.Context, done keys.Rotated) error {
			return s.log.Record(ctx, policy.MasterRotatedEntry(commandActor(), policy.Rotation(done)))
		},
	}
	if keyDB.dialect == database.Postgres {
		r.Exclude = func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `LOCK TABLE keys_day, keys_case IN SHARE ROW EXCLUSIVE MODE`)
			return err
		}
	}
	release, err := s.rotated(ctx, r)
	if err != nil {
		return done, err
	}
	defer release()
	return r.Run(ctx)
}

// mayMove refuses a move that the other processes would not find: they read where the master key is from the configuration.
func (s *site) mayMove(to string) error {
	if to == "" {
		return nil
	}
	if err := (addresses{master: to}).check(); err != nil {
		return usageError{err}
	}
	if sameMaster(to, s.addresses.master) {
		return nil
	}
	before := ""
	if !isFile(s.addresses.master) {
		before = ", and what stands there now as master_before:"
	}
	return usageError{fmt.Errorf("--to is not the master key of the configuration, where the other processes look for it: write it as master: into %s%s, then run this again", s.given.config, before)}
}

// sameMaster compares two addresses of master keys by the key: each process has its own token.
func sameMaster(a, b string) bool {
	if isFile(a) || isFile(b) {
		return isFile(a) && isFile(b)
	}
	x, errX := keys.ParseTransit(a)
	y, errY := keys.ParseTransit(b)
	return errX == nil && errY == nil && x.Server == y.Server && x.Engine == y.Engine && x.Key == y.Key
}

// rotated gives a rotation the master key that is to hold and the one that is left, if that is another one.
func (s *site) rotated(ctx context.Context, r *keys.Rotation) (release func(), err error) {
	a, l := s.addresses, s.layout
	if !isFile(a.masterBefore) && sameMaster(a.master, a.masterBefore) {
		// Nothing would be resealed, and the key that all depends on destroyed.
		return func() {}, usageError{errors.New("master_before is the master key that holds: leave it out to rotate that, or name the key that is left")}
	}
	var open []*keys.Transit
	release = func() {
		for _, t := range open {
			t.Close()
		}
	}
	transit := func(address string) (*keys.Transit, error) {
		t, err := openTransit(l, address)
		if err == nil {
			open = append(open, t)
		}
		return t, err
	}
	if isFile(a.master) {
		// Moving back to the file makes one. An empty store may have lost its own: that is init's to say.
		if !isFile(a.masterBefore) {
			if err := keys.CreateMaster(l.master()); err != nil {
				return release, err
			}
		}
		r.To, err = keys.OpenLocalMaster(l.master())
	} else {
		r.To, err = transit(a.master)
	}
	if err != nil {
		return release, err
	}
	switch {
	case !isFile(a.masterBefore):
		t, err := transit(a.masterBefore)
		if err != nil {
			return release, err
		}
		return release, r.Leave(ctx, t, t.Name())
	case !isFile(a.master):
		leaving, err := keys.Leaving(ctx, r.Store.DB)
		if err != nil || leaving != fileMaster && !hasLocalMaster(l) {
			return release, err
		}
		return release, r.Leave(ctx, keys.LocalFormer{Folder: l.master()}, fileMaster)
	}
	return release, nil
}
