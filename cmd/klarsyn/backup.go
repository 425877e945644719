package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func backupCommand(std stdio) *cobra.Command {
	var c common
	var out, keysTo string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Copy rows, log and keys while the square runs; footage never",
		Long: `backup writes one state of the catalogue (rows, log, accounts, counts) into a folder of its own, and with --keys-to one of
the key store into another: day keys must be forgotten sooner than the footage that they open, so that folder says when it must be
gone, and klarsyn backup expire removes it then. Footage is in neither, nor are the signing key of the log and the master key: who
owns those keeps a copy of each apart.

The copy of an SQLite database holds no trace of deleted rows. One of PostgreSQL is made by pg_dump and read by pg_restore, which
must be installed and not older than the server. That a backup was made is an entry of the log.`,
		Example: "  klarsyn backup --data /var/lib/klarsyn -o /backup/rows/2026-11-27 --keys-to /backup/keys/2026-11-27\n" +
			"  klarsyn backup verify -o /backup/rows/2026-11-27 --key audit.pub\n  klarsyn backup expire --dir /backup/keys",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			b, err := openBackup(cmd.Context(), c)
			if err != nil {
				return err
			}
			made, err := b.make(cmd.Context(), out, keysTo)
			if err = errors.Join(err, b.db.Close()); err != nil {
				return err
			}
			if asJSON {
				return printJSON(std.out, made)
			}
			fmt.Fprintf(std.out, "backup %s: %s, %d bytes, log of %d entries\n", made.ID, made.Folder, made.Bytes, made.Entries)
			if made.Keys != "" {
				fmt.Fprintf(std.out, "keys: %s, to be gone by %s: klarsyn backup expire --dir FOLDER\n", made.Keys, made.Expires.Format(time.RFC3339))
			}
			fmt.Fprintln(std.out, "not in it, and needed to serve again:")
			for _, need := range made.Needs {
				fmt.Fprintf(std.out, "  %s\n", need)
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder to make (required)")
	cmd.Flags().StringVar(&keysTo, "keys-to", "", "folder to make for the key store, which must be gone sooner (default: no keys are copied)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was made as JSON")
	require(cmd, "output")
	cmd.AddCommand(backupVerifyCommand(std), backupExpireCommand(std))
	return cmd
}

// checkedBackup is what checking a backup came to.
type checkedBackup struct {
	manifest
	Problems []string `json:"problems"`
}

func backupVerifyCommand(std stdio) *cobra.Command {
	var folder, key string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Check a backup without loading it",
		Long: `verify checks the files of a backup against the hashes of its manifest; of an SQLite copy also that it is whole, and its log
entry by entry; of a dump that it can be read to its end. Give the log's public key with --key: the one that the backup names proves
nothing.

Exit code: 0 the backup is whole, 1 something is wrong, 2 wrong use.`,
		Example: "  klarsyn backup verify -o /backup/rows/2026-11-27 --key audit.pub --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, _, err := readManifest(folder, "")
			if err != nil {
				return err
			}
			trusted := ""
			if key != "" {
				keys, err := readKeys(key)
				if err != nil {
					return err
				}
				trusted = keys[len(keys)-1]
			}
			r := checkedBackup{manifest: *m}
			if r.Problems, err = m.check(cmd.Context(), folder, trusted, time.Now()); err != nil {
				return err
			}
			switch {
			case asJSON:
				if r.Problems == nil {
					r.Problems = []string{}
				}
				if err := printJSON(std.out, r); err != nil {
					return err
				}
			case len(r.Problems) == 0:
				fmt.Fprintf(std.out, "whole: backup %s of the %s, of %s\n", m.ID, m.Kind, m.Made.Format(time.RFC3339))
			default:
				for _, p := range r.Problems {
					fmt.Fprintf(std.out, "BROKEN: %s\n", p)
				}
			}
			if len(r.Problems) > 0 {
				return errViolations
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&folder, "output", "o", "", "folder that klarsyn backup made (required)")
	cmd.Flags().StringVar(&key, "key", "", "file with the log's public key, its audit.pub (default: the key that the backup names)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the manifest and what is wrong as JSON")
	require(cmd, "output")
	return cmd
}

func backupExpireCommand(std stdio) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "expire", Short: "Remove key backups whose time is over",
		Long: `expire removes the backups of key stores in a folder, and in the folders in it, whose time is over, and what interrupted
ones left behind, an hour after they last wrote. Run it at least as often as backups are made. Their bytes are not overwritten: on disks that move what is written,
and in file systems that copy it, that reaches nothing. Keep them on an encrypted disk whose key can be destroyed.`,
		Example: "  klarsyn backup expire --dir /backup/keys",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			removed, err := expireKeyBackups(dir, time.Now())
			if asJSON {
				err = errors.Join(err, printJSON(std.out, struct {
					Removed []string `json:"removed"`
				}{removed}))
			} else {
				for _, folder := range removed {
					fmt.Fprintf(std.out, "removed %s\n", folder)
				}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder with backups of the key store (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was removed as JSON")
	require(cmd, "dir")
	return cmd
}
