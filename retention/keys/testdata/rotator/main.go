// Command rotator rotates the master key of a folder, once, over a key store: a process that tests kill at each crash point.
//
//	rotator DATABASE FOLDER [MASTER]
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"klarsyn/retention/database"
	"klarsyn/retention/keys"
)

func main() {
	if err := rotate(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func rotate(path, folder string, master []string) error {
	ctx := context.Background()
	db, err := database.OpenSQLite(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	r := &keys.Rotation{
		Store: &keys.Store{DB: db, Now: time.Now},
		Log:   func(context.Context, keys.Rotated) error { return nil },
		Scrub: func(ctx context.Context) error { return database.Scrub(ctx, db, database.SQLite) },
	}
	if len(master) == 0 {
		if r.To, err = keys.OpenLocalMaster(folder); err != nil {
			return err
		}
	} else {
		cfg, err := keys.ParseTransit(master[0])
		if err != nil {
			return err
		}
		t, err := keys.OpenTransit(cfg)
		if err != nil {
			return err
		}
		defer t.Close()
		r.To = t
		leaving, err := keys.Leaving(ctx, db)
		if err != nil {
			return err
		}
		if _, err := os.Stat(folder + "/master.key"); err == nil || leaving == "file" {
			if err := r.Leave(ctx, keys.LocalFormer{Folder: folder}, "file"); err != nil {
				return err
			}
		}
	}
	_, err = r.Run(ctx)
	return err
}
