package catalogue_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"klarsyn/camera"
	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// suite is what a catalogue promises on every database. open returns one whose tables exist and are empty.
func suite(t *testing.T, open func(t testing.TB) *sql.DB, dialect string) {
	for name, test := range map[string]func(*testing.T, *books){
		"every state meets every operation":                 everyStateMeetsEveryOperation,
		"a clip that is reserved has a header and a row":    reserveWritesAll,
		"a clip keeps what it was committed with":           commitKeepsAll,
		"a claim takes what is due, oldest first":           claimTakesWhatIsDue,
		"who deletes goes round what is left over":          chargesGoRound,
		"a clip is in the charge of one sweeper":            oneSweeperAtATime,
		"only who has charge ends a deletion":               onlyWhoHasChargeBuries,
		"of twenty sweepers none acts where another does":   twentySweepers,
		"a batch of tombstones is one transaction":          tombstonesTogether,
		"what is held is not overdue":                       heldIsNotOverdue,
		"a case's key stays while it may open something":    caseKeys,
		"of a hold and a claim one wins":                    holdRacesClaim,
		"the last hold lets go":                             lastHoldOut,
		"without a log nothing is held or lifted":           holdsWithoutALog,
		"a part of a clip belongs to its hold":              partsOfClips,
		"a hold says of which cameras it is":                camerasOfHolds,
		"where the store's legal hold is wrong":             barriers,
		"two claims take no clip twice":                     claimsRace,
		"the deadlines that matter":                         deadlines,
		"an object belongs to a clip until it is deleted":   ownership,
		"gaps begin where recorded time ends":               gapsFollowClips,
		"time tiles, whatever happens":                      timeTiles,
		"a clip over accounted time is refused":             overlapIsRefused,
		"where the accounted time ends":                     coveredTime,
		"searching pages through all clips":                 searchPages,
		"deletions page through all proofs":                 deletionsPage,
		"a background has one key, until its deadline":      backgroundKeys,
		"a permit version never changes":                    permitsNeverChange,
		"recipients are published, replaced and withdrawn":  recipients,
		"what is taken back is begun anew":                  begunAnew,
		"of two that wait for each other both end":          deadlock,
		"what is asked often has an index":                  plans,
		"a recorder finds what it left open":                openClips,
		"a checker sees every clip with what is left of it": allRows,
		"a change of the square is one transaction":         applyIsOneTransaction,
		"of several changes over a revision one is made":    appliesRace,
		"nothing is reserved without a permit in force":     reserveNeedsAPermitInForce,
		"what was collected unlawfully falls due":           unlawfulIsDue,
		"other revocations erase less":                      revocationsThatEraseLess,
		"deadlines only come nearer":                        deadlinesOnlyComeNearer,
		"who records while permits change":                  reserveRacesApply,
	} {
		t.Run(name, func(t *testing.T) { test(t, newBooks(t, open(t), dialect)) })
	}
}

// books is a catalogue over a real audit log that can be made to fail.
type books struct {
	*catalogue.Catalogue
	t       testing.TB
	log     *audit.Log
	dialect string
	mu      sync.Mutex
	logErr  error
}

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newBooks(t testing.TB, db *sql.DB, dialect string) *books {
	t.Helper()
	log, err := audit.New(audit.Config{DB: db, Dialect: dialect, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b := &books{t: t, log: log, dialect: dialect}
	b.Catalogue = &catalogue.Catalogue{DB: db, Dialect: dialect, Log: b, Actor: "service:test", Now: func() time.Time { return start }}
	for version := 1; version <= 3; version++ { // clips of these tests are recorded under the third
		if err := b.Activate(t.Context(), somePermit(t, version)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *books) failing() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logErr
}

// Append is the real log's, unless that was broken.
func (b *books) Append(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	if err := b.failing(); err != nil {
		return err
	}
	return b.log.Append(ctx, tx, e)
}

func (b *books) AppendAll(ctx context.Context, tx *sql.Tx, entries []policy.Entry) error {
	if err := b.failing(); err != nil {
		return err
	}
	return b.log.AppendAll(ctx, tx, entries)
}

func (b *books) Record(ctx context.Context, e policy.Entry) error {
	if err := b.failing(); err != nil {
		return err
	}
	return b.log.Record(ctx, e)
}

func (b *books) breakLog(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logErr = err
}

// entries is the number of entries that were committed. Nobody sequences in these tests.
func (b *books) entries() int64 {
	b.t.Helper()
	n, _, err := b.log.Pending(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// dump is everything that the catalogue's tables hold.
func (b *books) dump() string {
	b.t.Helper()
	var out strings.Builder
	for _, table := range []string{"clip", "header", "gap", "recipient", "permit"} {
		rows, err := b.DB.QueryContext(b.t.Context(), `SELECT * FROM catalogue_`+table+` ORDER BY 1, 2`)
		if err != nil {
			b.t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			b.t.Fatal(err)
		}
		for rows.Next() {
			values := make([]any, len(names))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				b.t.Fatal(err)
			}
			fmt.Fprint(&out, table)
			for _, v := range values {
				fmt.Fprintf(&out, " %v", *v.(*any))
			}
			fmt.Fprintln(&out)
		}
		if err := rows.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	return out.String()
}

// newClip is a clip of a camera that begins at from and must be gone an hour later.
func newClip(cam camera.ID, from time.Time) retention.Clip {
	id := ulid.MustNew(ulid.Timestamp(from), ulid.DefaultEntropy()).String()
	return retention.Clip{
		ID: id, Camera: cam, Permit: "plattan", PermitVersion: 3, Start: from, Deadline: from.Add(time.Hour),
		State: retention.Pending, KeyDay: "2026-11-20", ObjectKey: retention.ObjectKey(cam, from, id), Codec: camera.H264, Node: "n1",
	}
}

// stored is c as it is committed.
func stored(c retention.Clip, state retention.State) retention.Clip {
	c.State, c.Version, c.Size, c.PlainSize, c.SHA256 = state, "v1", 1000, 900, [32]byte{1, 2, 3}
	return c
}

func (b *books) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// put records one clip of a camera from from to to, to the given state.
func (b *books) put(cam camera.ID, from, to time.Time, state retention.State) retention.Clip {
	b.t.Helper()
	ctx := b.t.Context()
	c := newClip(cam, from)
	b.must(b.Reserve(ctx, c, []byte("header of "+c.ID)))
	if to.IsZero() {
		return c
	}
	c.End, c.Frames = to, 10
	b.must(b.End(ctx, c.ID, to, 10))
	switch state {
	case retention.Committed, retention.Partial:
		b.must(b.Commit(ctx, stored(c, state)))
	case retention.Lost:
		b.must(b.Lose(ctx, c, "for the test"))
	case retention.Deleting, retention.Deleted:
		b.must(b.Commit(ctx, stored(c, retention.Committed)))
		b.claim(c.Deadline)
		if state == retention.Deleted {
			b.must(b.bury(c, c.Deadline.Add(time.Second), 1))
		}
	}
	return c
}

// charge gives the clips that are being deleted to a sweeper of the test.
func (b *books) charge() map[string]retention.Charge {
	b.t.Helper()
	taken, err := b.TakeCharge(b.t.Context(), retention.Lease{Sweeper: "test", For: time.Minute}, "", 1000)
	b.must(err)
	charges := map[string]retention.Charge{}
	for _, c := range taken {
		charges[c.ID] = c
	}
	return charges
}

// bury takes charge of a clip and writes its tombstone.
func (b *books) bury(c retention.Clip, at time.Time, removed int) error {
	b.t.Helper()
	_, err := b.Bury(b.t.Context(), []retention.Tombstone{{Charge: b.charge()[c.ID], At: at, Removed: removed}})
	return err
}

func (b *books) claim(now time.Time) []retention.Clip {
	b.t.Helper()
	claimed, err := b.Claim(b.t.Context(), now, 100)
	b.must(err)
	return claimed
}

// sqlite opens copies of one migrated file, which is faster than migrating each.
func sqlite(t *testing.T) func(testing.TB) *sql.DB {
	template := filepath.Join(t.TempDir(), "template.db")
	db := openFile(t, template)
	migrate(t, db, database.SQLite)
	if err := database.Scrub(t.Context(), db, database.SQLite); err != nil {
		t.Fatal(err)
	}
	return func(t testing.TB) *sql.DB {
		path := filepath.Join(t.TempDir(), "catalogue.db")
		copyFile(t, template, path)
		return openFile(t, path)
	}
}

func migrate(t testing.TB, db *sql.DB, dialect string) {
	t.Helper()
	if err := database.Migrate(t.Context(), db, dialect, database.Owner{Name: "audit", Files: audit.Migrations()}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second migration finds nothing to do
		if err := database.Migrate(t.Context(), db, dialect, database.Owner{Name: "catalogue", Files: catalogue.Migrations()}); err != nil {
			t.Fatal(err)
		}
	}
}

func openFile(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}

func TestSQLite(t *testing.T) { suite(t, sqlite(t), database.SQLite) }

func TestPostgres(t *testing.T) {
	server := testenv.StartPostgres(t)
	suite(t, func(t testing.TB) *sql.DB {
		db, err := database.OpenPostgres(t.Context(), server.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		migrate(t, db, database.Postgres)
		return db
	}, database.Postgres)
}
