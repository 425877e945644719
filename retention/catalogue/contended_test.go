package catalogue_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"klarsyn/retention"
	"klarsyn/retention/database"
)

// A transaction that PostgreSQL took back for the sake of another is begun anew, three times in all; what fails for any other reason
// is not.
func begunAnew(t *testing.T, b *books) {
	if b.dialect != database.Postgres {
		return // SQLite lets one transaction write at a time
	}
	for _, c := range []struct {
		state       string // what the database says
		fails, want int    // how often, and how often it is begun
		done        bool
	}{
		{"40P01", 1, 2, true},
		{"40001", 2, 3, true},
		{"40001", 9, 3, false},
		{"23505", 1, 1, false},
		{"57014", 1, 1, false},
	} {
		begun, id := 0, fmt.Sprint(c)
		err := b.Within(t.Context(), func(tx *sql.Tx) error {
			begun++
			if _, err := tx.Exec(`INSERT INTO catalogue_header (clip, header) VALUES ($1, $2)`, id, []byte{byte(begun)}); err != nil {
				return err
			}
			if begun > c.fails {
				return nil
			}
			_, err := tx.Exec(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '` + c.state + `'; END $$`)
			return fmt.Errorf("doing something: %w", err)
		})
		if (err == nil) != c.done || begun != c.want {
			t.Errorf("%+v: begun %d times, %v", c, begun, err)
		}
		var header []byte
		err = b.DB.QueryRow(`SELECT header FROM catalogue_header WHERE clip = $1`, id).Scan(&header)
		if c.done && (err != nil || header[0] != byte(begun)) || !c.done && !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("%+v: it wrote %v, %v", c, header, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun := 0
	if err := b.Within(ctx, func(tx *sql.Tx) error {
		begun++
		_, err := tx.Exec(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$`)
		cancel()
		return err
	}); err == nil || begun != 1 {
		t.Errorf("begun %d times although nobody waits for it: %v", begun, err)
	}
}

// A hold and another transaction wait for each other's rows: the database takes the hold back, and it is placed all the same, once.
func deadlock(t *testing.T, b *books) {
	if b.dialect != database.Postgres {
		return
	}
	at := start
	for range 5 {
		first := b.put("k1", at, at.Add(time.Minute), retention.Committed)
		second := b.put("k1", at.Add(time.Minute), at.Add(2*time.Minute), retention.Committed)
		at = at.Add(2 * time.Minute)
		if b.deadlocked(first, second) {
			return
		}
	}
	t.Error("the hold was never the one that was taken back")
}

// deadlocked has a hold wait for another transaction that waits for it, and reports whether it was the hold that was taken back: on
// a slow machine that finds out too late, and the other one is.
func (b *books) deadlocked(first, second retention.Clip) bool {
	b.t.Helper()
	ctx := b.t.Context()
	other, err := b.DB.BeginTx(ctx, nil)
	b.must(err)
	defer other.Rollback()
	lock := func(c retention.Clip) error {
		_, err := other.ExecContext(ctx, `UPDATE catalogue_clip SET node = 'n2' WHERE id = $1`, c.ID)
		return err
	}
	_, err = other.ExecContext(ctx, `SET LOCAL deadlock_timeout = '10s'`) // it is patient: the hold finds out first
	b.must(err)
	b.must(lock(second))

	entries := b.entries()
	held := make(chan retention.Hold, 1)
	go func() {
		defer close(held)
		h, refused := b.holdOn("K-1", first, second)
		if len(refused) > 0 {
			b.t.Errorf("refused %v", refused)
		}
		held <- h
	}()
	for waits := false; !waits; {
		b.must(b.DB.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits))
	}
	err = lock(first)
	taken := err == nil
	if !taken && !database.Contended(err) {
		b.must(err)
	}
	b.must(other.Rollback())
	h := <-held
	if len(h.Clips) != 2 {
		b.t.Fatalf("held %v", h.Clips)
	}
	for _, c := range []retention.Clip{first, second} {
		if now, err := b.Clip(ctx, c.ID); err != nil || now.Holds != 1 {
			b.t.Errorf("clip %s is held %d times, %v", c.ID, now.Holds, err)
		}
	}
	if n := b.entries() - entries; n != 1 {
		b.t.Errorf("%d entries", n)
	}
	return taken
}
