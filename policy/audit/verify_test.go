package audit_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/verify"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// Every single change of what is stored must show. The columns of the lease (holder, fence, expires)
// are left out: they say who sequences, not what was logged.
func TestVerifyFindsEveryMutation(t *testing.T) {
	db := fresh(t).DB
	db.SetMaxOpenConns(1) // the setting is of one connection
	if databasetest.Dialect() == database.Postgres {
		exec(t, db, `SET synchronous_commit = off`)
	} else {
		exec(t, db, `PRAGMA synchronous = OFF`)
	}
	k := key(t)
	l := newLog(t, db, k)
	for range 4 {
		record(t, l, 3)
		sequenced(t, l)
	}
	record(t, l, 1)
	// One time for all: by a later one the pending leaf itself would be a finding, and nothing be proved.
	now := time.Now()
	clean(t, verifyAt(t, db, k, now))

	var mutations []string
	each := func(count int, format string) {
		for i := range count {
			mutations = append(mutations, fmt.Sprintf(format, i))
		}
	}
	const leaves = 12
	each(leaves, `DELETE FROM audit_leaf WHERE seq = %d`)
	each(leaves, `UPDATE audit_leaf SET seq = 100 WHERE seq = %d`)
	each(leaves, `UPDATE audit_leaf SET seq = -1 WHERE seq = %d`)
	each(leaves, `UPDATE audit_leaf SET sequenced = sequenced + 1 WHERE seq = %d`)
	each(leaves, `UPDATE audit_leaf SET at = at + 1 WHERE seq = %d`)
	each(leaves, `UPDATE audit_leaf SET id = substr(id, 1, 25) || '!' WHERE seq = %d`)
	for _, column := range []string{"event", "actor", "object", "kase"} {
		each(leaves, `UPDATE audit_leaf SET `+column+` = `+column+` || 'x' WHERE seq = %d`)
	}
	each(leaves, `UPDATE audit_leaf SET entry = `+changedEntry(`ingest`, `ingesT`)+` WHERE seq = %d`)
	each(leaves, `UPDATE audit_leaf SET entry = `+changedEntry(`"actor"`, ` "actor"`)+` WHERE seq = %d`)
	each(leaves-1, `UPDATE audit_leaf SET entry = (SELECT entry FROM audit_leaf WHERE seq = 11), id = id WHERE seq = %d`)
	each(leaves, `UPDATE audit_tile SET hashes = substr(hashes, 1, 32 * %d)`)
	for i := 1; i <= 4; i++ {
		mutations = append(mutations,
			fmt.Sprintf(`DELETE FROM audit_checkpoint WHERE number = %d`, i),
			fmt.Sprintf(`UPDATE audit_checkpoint SET number = 9 WHERE number = %d`, i),
			fmt.Sprintf(`UPDATE audit_checkpoint SET at = at + 1 WHERE number = %d`, i),
			fmt.Sprintf(`UPDATE audit_checkpoint SET size = size + 1 WHERE number = %d`, i),
			fmt.Sprintf(`UPDATE audit_checkpoint SET rotation = 1 WHERE number = %d`, i),
			fmt.Sprintf(`UPDATE audit_checkpoint SET note = note || ' ' WHERE number = %d`, i),
			fmt.Sprintf(`UPDATE audit_checkpoint SET note = replace(note, 'checkpoint %d', 'checkpoint 7') WHERE number = %d`, i, i),
			fmt.Sprintf(`UPDATE audit_checkpoint SET note = (SELECT note FROM audit_checkpoint WHERE number = %d) WHERE number = %d`, i%4+1, i))
	}
	mutations = append(mutations,
		`INSERT INTO audit_leaf SELECT 12, substr(id, 1, 25) || '!', sequenced, at, event, actor, object, kase, entry FROM audit_leaf WHERE seq = 11`,
		`INSERT INTO audit_pending SELECT substr(id, 1, 25) || '!', at - 60000000, entry FROM audit_leaf WHERE seq = 11`,
		`UPDATE audit_pending SET at = at - 60000000`,
		`UPDATE audit_pending SET id = substr(id, 1, 25) || '!'`,
		`UPDATE audit_pending SET entry = `+changedEntry(`"actor"`, ` "actor`),
		`DELETE FROM audit_tile`,
		`UPDATE audit_tile SET n = 1`,
		`UPDATE audit_tile SET level = 1`,
		`INSERT INTO audit_tile VALUES (0, 1, `+zeroes()+`)`,
		`INSERT INTO audit_tile VALUES (1, 0, `+zeroes()+`)`,
		`INSERT INTO audit_checkpoint SELECT 5, at, size, note, 0 FROM audit_checkpoint WHERE number = 4`,
		`INSERT INTO audit_checkpoint SELECT 0, at, size, note, 0 FROM audit_checkpoint WHERE number = 4`,
		`UPDATE audit_sequencer SET size = size - 1`,
		`UPDATE audit_sequencer SET sequenced = sequenced + 1`,
		`UPDATE audit_sequencer SET sequenced = sequenced - 1`,
		`UPDATE audit_sequencer SET checkpoints = checkpoints + 1`,
		`UPDATE audit_sequencer SET first_leaf = 256`,
		`UPDATE audit_sequencer SET first_checkpoint = 257`,
		`DELETE FROM audit_sequencer`,
		`DELETE FROM audit_leaf WHERE seq >= 9`,
	)
	for _, mutation := range mutations {
		mutate(t, db, k, now, mutation)
	}
	clean(t, verifyAt(t, db, k, now))
}

// mutate applies the change, verifies, and takes it back.
func mutate(t *testing.T, db *sql.DB, k *audit.Key, now time.Time, mutation string) {
	t.Helper()
	backup := []string{"audit_leaf", "audit_pending", "audit_tile", "audit_checkpoint", "audit_sequencer"}
	for _, table := range backup {
		exec(t, db, `CREATE TABLE keep_`+table+` AS SELECT * FROM `+table)
	}
	result, err := db.ExecContext(t.Context(), mutation)
	if err != nil {
		t.Fatalf("%s: %v", mutation, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Errorf("%s: changed nothing", mutation)
	}
	if report := verifyAt(t, db, k, now); len(report.Violations) == 0 {
		t.Errorf("not found: %s", mutation)
	}
	for _, table := range backup {
		exec(t, db, `DELETE FROM `+table)
		exec(t, db, `INSERT INTO `+table+` SELECT * FROM keep_`+table)
		exec(t, db, `DROP TABLE keep_`+table)
	}
}

// Every byte of every row of a log of 100 entries counts, and the first bad place is named.
func TestVerifyFindsEveryFlippedByte(t *testing.T) {
	db := fresh(t).DB
	db.SetMaxOpenConns(1) // the setting is of one connection
	if databasetest.Dialect() == database.Postgres {
		exec(t, db, `SET synchronous_commit = off`)
	} else {
		exec(t, db, `PRAGMA synchronous = OFF`)
	}
	k := key(t)
	l := newLog(t, db, k)
	for range 4 {
		record(t, l, 25)
		sequenced(t, l)
	}
	now := time.Now()
	clean(t, verifyAt(t, db, k, now))
	// The detector makes it ten times as slow, and PostgreSQL four times; on SQLite without it every byte is flipped.
	step := 1
	if raceEnabled || databasetest.Dialect() == database.Postgres {
		step = 997
	}
	count := 0
	flip := func(table, column, where, place string) {
		var whole []byte
		if err := db.QueryRowContext(t.Context(), `SELECT `+column+` FROM `+table+` WHERE `+where).Scan(&whole); err != nil {
			t.Fatal(err)
		}
		set := func(b []byte) {
			value := any(b)
			if column != "entry" && column != "hashes" {
				value = string(b)
			}
			// A flipped byte of a column's text may be no text; SQLite keeps it, PostgreSQL would refuse it.
			exec(t, db, `UPDATE `+table+` SET `+column+` = $1 WHERE `+where, value)
		}
		for i := range whole {
			if count++; count%step != 0 {
				continue
			}
			changed := append([]byte(nil), whole...)
			changed[i] ^= 1
			set(changed)
			report := verifyAt(t, db, k, now)
			if len(report.Violations) == 0 || report.Violations[0].Place != place {
				t.Fatalf("byte %d of %s of %s where %s was flipped: found %+v, want %s", i, column, table, where, report.Violations, place)
			}
		}
		set(whole)
	}
	for seq := range 100 {
		where := fmt.Sprintf("seq = %d", seq)
		for _, column := range []string{"entry", "event", "actor", "object", "kase"} {
			flip("audit_leaf", column, where, fmt.Sprintf("entry %d", seq))
		}
	}
	flip("audit_tile", "hashes", "level = 0", "tile/0/000.p/100")
	for number := 1; number <= 3; number++ {
		flip("audit_checkpoint", "note", fmt.Sprintf("number = %d", number), fmt.Sprintf("checkpoint %d", number))
	}
	flip("audit_checkpoint", "note", "number = 4", "checkpoint")
	t.Logf("%d bytes flipped", count/step)
}

func TestVerifyNamesTheFirstBadPlace(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	record(t, l, 9)
	sequenced(t, l)
	exec(t, db, `DELETE FROM audit_leaf WHERE seq = 4`)
	report := verified(t, db, k)
	if len(report.Violations) == 0 || report.Violations[0].Place != "entry 4" {
		t.Errorf("violations %+v, want the missing entry 4 first", report.Violations)
	}
}

// The signature is random, and in some notes the last bits of its base64 say nothing: no such note passes.
func TestCheckpointHasOneForm(t *testing.T) {
	for range 3 {
		db := fresh(t).DB
		k := key(t)
		l := newLog(t, db, k)
		record(t, l, 1)
		sequenced(t, l)
		signed := newestCheckpoint(t, db)
		chain, err := verify.NewChain([]string{k.Public}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chain.Open(signed); err != nil {
			t.Errorf("as it is: %v", err)
		}
		last := strings.LastIndex(signed, "=\n") - 1
		for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
			changed := signed[:last] + string(b) + signed[last+1:]
			if _, err := chain.Open(changed); err == nil && changed != signed {
				t.Errorf("passes as %q and as %q", signed[last:], changed[last:])
			}
		}
		text, _, _ := strings.Cut(signed, "\n\n")
		other, err := note.Sign(&note.Note{Text: text + "\n"}, k.Signer, key(t).Signer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chain.Open(string(other)); err == nil {
			t.Error("a note with a signature of somebody else passes")
		}
	}
}

func TestVerifyWithAnotherKey(t *testing.T) {
	db := fresh(t).DB
	l := newLog(t, db, key(t))
	record(t, l, 1)
	sequenced(t, l)
	if len(verified(t, db, key(t)).Violations) == 0 {
		t.Error("a checkpoint of another key passed")
	}
}

func TestVerifyAnEmptyLog(t *testing.T) {
	db := fresh(t).DB
	report := verified(t, db, key(t))
	clean(t, report)
	if report.Checked != 0 {
		t.Errorf("checked %d, want 0", report.Checked)
	}
}

func TestVerifyFindsWhatNobodySequences(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	record(t, newLog(t, db, nil), 1)
	clean(t, verified(t, db, k))
	report, err := audit.Verify(t.Context(), audit.Verification{
		DB: db, Dialect: databasetest.Dialect(), Verifier: k.Public, Now: time.Now().Add(time.Minute),
	})
	if err != nil || len(report.Violations) != 1 || !strings.Contains(report.Violations[0].What, "not sequenced") {
		t.Errorf("report %+v, error %v, want one leaf that is not sequenced", report, err)
	}
}

// After a crash the last leaves wait for the next start; that is no violation. One that the sequencer
// passed over is.
func TestVerifyALogThatNobodyRuns(t *testing.T) {
	db := fresh(t).DB
	k := key(t)
	l := newLog(t, db, k)
	record(t, l, 3)
	sequenced(t, l)
	record(t, l, 1)
	stopped := func() audit.Report {
		report, err := audit.Verify(t.Context(), audit.Verification{
			DB: db, Dialect: databasetest.Dialect(), Verifier: k.Public, Now: time.Now().Add(24 * time.Hour), Stopped: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	clean(t, stopped())
	e := policy.Entry{Event: policy.Denied, Actor: "anna", Decision: "deny", Time: time.Now().Add(-time.Minute)}
	if err := l.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if len(stopped().Violations) == 0 {
		t.Error("a leaf that was passed over was not found")
	}
}
