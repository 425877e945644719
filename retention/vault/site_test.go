package vault_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/rules"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
	"klarsyn/retention/keys"
	"klarsyn/retention/object/dir"
	"klarsyn/retention/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// site is an installation in a directory: real databases, store, keys, log and gate; only time is ours.
type site struct {
	t      testing.TB
	folder string
	db     *sql.DB
	books  *catalogue.Catalogue
	keys   *keys.Store
	store  *dir.Store
	faulty *faultyStore
	done   *faultyOutcomes
	gate   *policy.Gate
	permit policy.Permit
	in     *vault.Intake

	mu  sync.Mutex
	now time.Time
}

const cameras = 400 // so that a property may use one for each try

func newSite(t testing.TB) *site {
	t.Helper()
	ctx, folder := t.Context(), t.TempDir()
	s := &site{t: t, folder: folder, now: noon}
	s.db = s.database("catalogue", "catalogue.db")
	s.must(errors.Join(database.Migrate(ctx, s.db, database.SQLite, database.Owner{Name: "audit", Files: audit.Migrations()}), database.Migrate(ctx, s.db, database.SQLite, database.Owner{Name: "catalogue", Files: catalogue.Migrations()})))
	quiet := slog.New(slog.DiscardHandler)
	log, err := audit.New(audit.Config{DB: s.db, Dialect: database.SQLite, Now: s.Reading, Logger: quiet})
	s.must(err)
	s.books = &catalogue.Catalogue{DB: s.db, Log: log, Actor: "service:test", Now: s.Reading}

	s.must(keys.CreateMaster(filepath.Join(folder, "keys")))
	public, err := keys.LoadPublic(filepath.Join(folder, "keys"))
	s.must(err)
	secret, err := keys.LoadSecret(filepath.Join(folder, "keys"))
	s.must(err)
	keyDB := s.database("keys", "keys.db")
	s.must(database.Migrate(ctx, keyDB, database.SQLite, database.Owner{Name: "keys", Files: keys.Migrations()}))
	s.keys = &keys.Store{DB: keyDB, Sealer: public, Opener: secret, Now: s.Reading}

	hour, err := policy.ParsePeriod("PT1H")
	s.must(err)
	s.permit = policy.Permit{
		ID: "plattan", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, ValidFrom: noon.AddDate(-1, 0, 0),
		Retention: hour, Purposes: []string{policy.CrimeInvestigation},
	}
	for n := range cameras {
		s.permit.Cameras = append(s.permit.Cameras, fmt.Sprintf("k%d", n))
	}
	s.must(s.books.Activate(ctx, s.permit))
	s.must((&keys.Tender{Store: s.keys, Board: s.books, Now: s.Reading, Permits: func(time.Time) []string { return []string{"plattan"} }}).Tend(ctx))

	s.store, err = dir.Open(filepath.Join(folder, "objects"))
	s.must(err)
	s.faulty = &faultyStore{Store: s.store}
	s.done = &faultyOutcomes{Catalogue: s.books}
	allowed, err := rules.New()
	s.must(err)
	s.gate, err = policy.NewGate(policy.GateConfig{Rules: allowed, Log: log, Viewings: log, Now: s.Reading, GrantLife: 24 * time.Hour, Logger: quiet})
	s.must(err)
	s.restart()
	t.Cleanup(func() { s.in.Close() })
	return s
}

func (s *site) database(parts ...string) *sql.DB {
	db, err := database.OpenSQLite(s.t.Context(), filepath.Join(append([]string{s.folder}, parts...)...))
	s.must(err)
	s.t.Cleanup(func() { db.Close() })
	return db
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) config() vault.IntakeConfig {
	return vault.IntakeConfig{
		Reservations: s.books, Timeline: s.books, Outcomes: s.done, Store: s.faulty, Spool: s.spool(), Node: "n1", Now: s.Reading,
		Permit: func(_ string, at time.Time) (policy.Permit, bool) { return s.permit, s.permit.Covers("k0", at) },
	}
}

func (s *site) spool() string { return filepath.Join(s.folder, "spool") }

// restart ends the recorder as a crash does, without closing a clip, and begins anew.
func (s *site) restart() {
	s.t.Helper()
	if s.in != nil {
		s.must(s.in.Close())
	}
	var err error
	s.in, err = vault.OpenIntake(s.t.Context(), s.config())
	s.must(err)
}

func (s *site) move() {
	s.t.Helper()
	s.must(s.in.Move(s.t.Context()))
}

// Reading is the site's clock.
func (s *site) Reading() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) set(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

func (s *site) vault() *vault.Vault {
	return &vault.Vault{Shelf: s.books, Keyring: s.keys, Store: s.faulty, Clock: s}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

// begin opens a clip and writes fragments of the given sizes, one second each.
func (s *site) begin(cam camera.ID, from time.Time, sizes ...int) (camera.Recording, []byte, camera.Closing) {
	s.t.Helper()
	rec, err := s.in.Begin(s.t.Context(), camera.Opening{Camera: cam, Start: from, Format: camera.Format{Codec: camera.H264}})
	s.must(err)
	var plain []byte
	c := camera.Closing{End: from}
	for i, n := range sizes {
		fragment := noise(n + i)[:n]
		plain = append(plain, fragment...)
		c.End, c.Frames = from.Add(time.Duration(i+1)*time.Second), c.Frames+10
		s.must(rec.Write(s.t.Context(), fragment, c))
	}
	return rec, plain, c
}

// record takes a whole clip into the spool.
func (s *site) record(cam camera.ID, from time.Time, sizes ...int) (retention.Clip, []byte) {
	s.t.Helper()
	rec, plain, c := s.begin(cam, from, sizes...)
	s.must(rec.Close(s.t.Context(), c))
	return s.last(cam), plain
}

// last is the camera's newest clip.
func (s *site) last(cam camera.ID) retention.Clip {
	s.t.Helper()
	var last retention.Clip
	for row, err := range s.books.All(s.t.Context()) {
		s.must(err)
		if row.Camera == cam {
			last = row.Clip
		}
	}
	if last.ID == "" {
		s.t.Fatalf("camera %s has no clip", cam)
	}
	return last
}

// look asks the gate for a grant, as the API does.
func (s *site) look(c retention.Clip) policy.Grant {
	s.t.Helper()
	g, err := s.gate.Look(s.t.Context(), policy.Subject{Name: "anna", Role: policy.Investigator, Session: "s1"}, policy.Request{
		Action: policy.ViewOriginal, Camera: string(c.Camera), Clip: c.ID, Permit: s.permit,
		Purpose: policy.CrimeInvestigation, Case: "0105-K12345-26",
	})
	s.must(err)
	return g
}

// read opens the clip with a grant and reads all of it.
func (s *site) read(c retention.Clip) ([]byte, error) {
	s.t.Helper()
	f, err := s.vault().Open(s.t.Context(), s.look(c), c.ID)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// entries counts what the log holds of an event and a clip.
func (s *site) entries(e policy.Event, c retention.Clip) int {
	s.t.Helper()
	n := 0
	for _, logged := range databasetest.Logged(s.t, s.db) {
		if logged.Event == e && logged.Object == "clip:"+c.ID {
			n++
		}
	}
	return n
}

// spooled are the clips that have files in the spool.
func (s *site) spooled() []string {
	s.t.Helper()
	ids, err := vault.Spooled(s.spool())
	s.must(err)
	return ids
}

// traces counts what the store holds of a clip.
func (s *site) traces(c retention.Clip) int {
	s.t.Helper()
	n := 0
	for _, err := range s.store.Traces(s.t.Context(), c.ObjectKey) {
		s.must(err)
		n++
	}
	return n
}

func (s *site) wantRead(c retention.Clip, plain []byte) {
	s.t.Helper()
	got, err := s.read(c)
	if err != nil || !bytes.Equal(got, plain) {
		s.t.Errorf("clip %s: read %d bytes, %v, want %d", c.ID, len(got), err, len(plain))
	}
}
