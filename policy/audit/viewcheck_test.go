package audit_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"klarsyn/policy/audit"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// watched is a database with a viewing of two responses, one of them unfinished, and its log. The viewing is
// closed after an hour, unless it shall stay open.
func watched(t *testing.T, open bool) *sql.DB {
	t.Helper()
	db := fresh(t).DB
	db.SetMaxOpenConns(1) // the setting is of one connection
	if databasetest.Dialect() == database.Postgres {
		exec(t, db, `SET session_replication_role = replica`) // its triggers keep foreign keys
	} else {
		exec(t, db, `PRAGMA foreign_keys = OFF`)
	}
	l := newLog(t, db, key(t))
	v := viewing(t, l, start)
	response, err := l.Respond(t.Context(), v.ID, start.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Served(t.Context(), response, start.Add(2*time.Second), 1000, 2.5); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Respond(t.Context(), v.ID, start.Add(3*time.Second)); err != nil {
		t.Fatal(err)
	}
	if open {
		sequenced(t, l)
		return db
	}
	end := start.Add(time.Hour)
	if closed, err := l.Close(t.Context(), v.ID, end, end, closingAt(end)); err != nil || !closed {
		t.Fatalf("closed %v, error %v", closed, err)
	}
	sequenced(t, l)
	return db
}

// Every single change of a viewing, of its responses, and of the leaves that tell of it must show.
func TestVerifyViewings(t *testing.T) {
	const (
		closingLeaf = ` WHERE event = 'viewing-closed'`
		rewrite     = `UPDATE audit_leaf SET entry = `
	)
	for name, c := range map[string]struct {
		open      bool
		sql, want string
	}{
		"closed, as it is":             {false, "", ""},
		"open, as it is":               {true, "", ""},
		"response without viewing":     {false, `UPDATE audit_response SET viewing = 'none'`, "not there"},
		"viewing without entry":        {false, `UPDATE audit_leaf SET id = id || 'x' WHERE event = 'viewing-opened'`, "no entry opened"},
		"entry of something else":      {false, rewrite + changedEntry(`viewing-opened`, `log-read`), "no entry opened"},
		"opened after the first byte":  {false, `UPDATE audit_response SET begun = begun - 3600000000`, "before it was opened"},
		"opened at another time":       {false, `UPDATE audit_viewing SET opened = opened - 1`, "opened it is of"},
		"closed without entry":         {false, `UPDATE audit_viewing SET closing = NULL`, "no entry closed"},
		"closed by its opening":        {false, `UPDATE audit_viewing SET closing = id`, "no entry closed"},
		"closed at another time":       {false, `UPDATE audit_viewing SET closed = closed + 1`, "closed it is of"},
		"open although an entry ended": {false, `UPDATE audit_viewing SET closed = NULL`, "but entry"},
		"entry without viewing":        {false, `DELETE FROM audit_viewing`, "not there"},

		"responses deleted":             {false, `DELETE FROM audit_response`, `says responses "2"`},
		"one response deleted":          {false, `DELETE FROM audit_response WHERE ended IS NULL`, `says responses "2"`},
		"response added":                {false, `INSERT INTO audit_response SELECT id || 'x', viewing, begun, NULL, 0, 0 FROM audit_response WHERE ended IS NULL`, `says responses "2"`},
		"response ended":                {false, `UPDATE audit_response SET ended = begun WHERE ended IS NULL`, `says unfinished "1"`},
		"more bytes":                    {false, `UPDATE audit_response SET bytes = bytes + 1 WHERE ended IS NOT NULL`, `says bytes "1000"`},
		"fewer seconds":                 {false, `UPDATE audit_response SET seconds = seconds - 0.1 WHERE ended IS NOT NULL`, `says seconds "2.500"`},
		"response begun after the end":  {false, `UPDATE audit_response SET begun = begun + 7200000000 WHERE ended IS NULL`, "after it was closed"},
		"response ended after the end":  {false, `UPDATE audit_response SET ended = ended + 7200000000 WHERE ended IS NOT NULL`, "after it was closed"},
		"another clip":                  {true, `UPDATE audit_viewing SET clip = 'B'`, "its clip is not"},
		"another camera":                {true, `UPDATE audit_viewing SET camera = 'k2'`, "its camera is not"},
		"another permit":                {true, `UPDATE audit_viewing SET permit = 'other'`, "its permit is not"},
		"another version of the permit": {true, `UPDATE audit_viewing SET permit_version = 2`, "its permit version is not"},
		"another person":                {true, `UPDATE audit_viewing SET actor = 'bo'`, "its actor is not"},
		"another role":                  {true, `UPDATE audit_viewing SET role = 'auditor'`, "its role is not"},
		"another session":               {true, `UPDATE audit_viewing SET session = 's2'`, "its session is not"},
		"another address":               {true, `UPDATE audit_viewing SET remote = '192.0.2.2'`, "its remote address is not"},
		"another purpose":               {true, `UPDATE audit_viewing SET purpose = 'public-order'`, "its purpose is not"},
		"another case":                  {true, `UPDATE audit_viewing SET kase = 'K-2'`, "its case is not"},
		"closing entry of another clip": {false, rewrite + changedEntry(`clip:A`, `clip:B`) + closingLeaf, "its clip is not that of the entry that closed"},
		"closing entry of another person": {false, rewrite + changedEntry(`"actor":"anna"`, `"actor":"bo"`) + closingLeaf,
			"its actor is not that of the entry that closed"},
		"closing entry of another case": {false, rewrite + changedEntry(`K-1`, `K-2`) + closingLeaf, "its case is not that of the entry that closed"},
		"closing entry of another camera": {false, rewrite + changedEntry(`"camera":"k1"`, `"camera":"k2"`) + closingLeaf,
			"its camera is not that of the entry that closed"},
		"closing entry without seconds": {false, rewrite + changedEntry(`"2.500"`, `"NaN"`) + closingLeaf, `says seconds "NaN"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := watched(t, c.open)
			if c.sql != "" {
				result, err := db.ExecContext(t.Context(), c.sql)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := result.RowsAffected(); err != nil || n == 0 {
					t.Fatalf("changed nothing: %v", err)
				}
			}
			report, err := audit.VerifyViewings(t.Context(), db, databasetest.Dialect())
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				clean(t, report)
				if report.Checked != 3 {
					t.Errorf("checked %d, want a viewing and two responses", report.Checked)
				}
				return
			}
			var said []string
			for _, v := range report.Violations {
				said = append(said, v.What)
			}
			if all := strings.Join(said, "\n"); !strings.Contains(all, c.want) || strings.Contains(all, "K-1") {
				t.Errorf("violations %q, want %q and no case number", said, c.want)
			}
		})
	}
}
