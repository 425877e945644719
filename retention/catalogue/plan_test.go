package catalogue_test

import (
	"strings"
	"testing"

	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
)

// What is asked often, or under a lock, is answered from an index that holds only what the question is about:
// tombstones, of which there are soon a million, cost it nothing.
func plans(t *testing.T, b *books) {
	b.populate()
	for name, c := range map[string]struct {
		query string
		args  []any
		index string
	}{
		"has the camera's last clip ended": {catalogue.OpenClip, []any{"k1"}, "catalogue_clip_unended"},
		"is the day key needed":            {catalogue.KeyNeeded, []any{"plattan", "2026-11-20"}, "catalogue_clip_key"},
		"is the key of a case needed":      {catalogue.CaseNeeded, []any{"K-1"}, "catalogue_clip_case"},
		"what is due":                      {`SELECT id FROM catalogue_clip ` + catalogue.DueClips, []any{1, 100}, "catalogue_clip_due"},
		"what is left over":                {`SELECT id FROM catalogue_clip ` + b.Chargeable(), []any{"", "s", 100}, "catalogue_clip_deleting"},
		"what is overdue and readable":     {catalogue.OldestReadable, nil, "catalogue_clip_due"},
		"what is overdue and not removed":  {catalogue.OldestRemaining, nil, "catalogue_clip_removal"},
		"how much is due":                  {catalogue.DueBacklog, []any{1, 100}, "catalogue_clip_due"},
		"how much is left over":            {catalogue.RemovalBacklog, []any{1, 100}, "catalogue_clip_removal"},
		"how much is stored":               {catalogue.Stored, nil, "catalogue_clip_stored"},
		"what is to be cut out":            {catalogue.ToCut, []any{"h", "c", 20}, "catalogue_held_uncut"},
		"whose cut was begun":              {catalogue.BegunCuts, []any{"h", "c", 20, "d"}, "catalogue_held_begun"},
		"what the store is to hold":        {`SELECT id FROM catalogue_clip ` + catalogue.Unbarred, []any{"c", 100}, "catalogue_clip_barrier"},
		"what the store is to let go":      {`SELECT id FROM catalogue_clip ` + catalogue.Barred, []any{"c", 100}, "catalogue_clip_barrier"},
		"what opens a clip for a case":     {catalogue.CaseKey, []any{"c", "K-1"}, "catalogue_held_clip"},
	} {
		plan := b.plan(c.query, c.args...)
		if !strings.Contains(plan, c.index) || strings.Contains(plan, "Sort") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s: want it to use %s, and to sort nothing:\n%s", name, c.index, plan)
		}
	}
}

// populate makes rows for PostgreSQL, which chooses among indexes by what it has counted: tombstones, stored clips, of which few are held
// or being removed.
func (b *books) populate() {
	b.t.Helper()
	if b.dialect != database.Postgres {
		return
	}
	b.fill(1, 20_000, `CASE WHEN i % 2 = 0 THEN 'deleted' WHEN i % 99 = 0 THEN 'deleting' ELSE 'committed' END`, start)
	b.exec(`UPDATE catalogue_clip SET holds = 1 WHERE state = 'committed' AND start_us % 100000000 = 1000000`)
	b.exec(`INSERT INTO catalogue_hold (id, kind, case_number, basis, requester, approver, review_us, placed_us)
		SELECT 'H' || id, 'evidence', 'K-' || id, 'robbery', 'anna', 'lena', 1, 1 FROM catalogue_clip WHERE holds > 0`)
	b.exec(`INSERT INTO catalogue_held (hold, clip, from_us, to_us) SELECT 'H' || id, id, start_us, end_us FROM catalogue_clip WHERE holds > 0`)
	b.exec(`ANALYZE`)
}

// plan is how the database would answer a query.
func (b *books) plan(query string, args ...any) string {
	b.t.Helper()
	ctx := b.t.Context()
	conn, err := b.DB.Conn(ctx)
	b.must(err)
	defer conn.Close()
	explain := `EXPLAIN QUERY PLAN `
	if b.dialect == database.Postgres {
		explain = `EXPLAIN `
		// The table is small: to read all of it would be the cheapest.
		for _, way := range []string{"seqscan", "bitmapscan"} {
			_, err := conn.ExecContext(ctx, `SET enable_`+way+` = off`)
			b.must(err)
		}
	}
	rows, err := conn.QueryContext(ctx, explain+query, args...)
	b.must(err)
	defer rows.Close()
	names, err := rows.Columns()
	b.must(err)
	var out strings.Builder
	for rows.Next() {
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(any)
		}
		b.must(rows.Scan(values...))
		switch v := (*values[len(values)-1].(*any)).(type) { // the last column is for people
		case []byte:
			out.Write(v)
		case string:
			out.WriteString(v)
		}
		out.WriteByte('\n')
	}
	b.must(rows.Err())
	return out.String()
}
