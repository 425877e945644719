// Package audit is the log of who did what and why: entries are leaves of a Merkle tree, written in the
// transaction of what they record, numbered and hashed by one sequencer, and sealed by signed checkpoints.
package audit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
)

// Config is what a Log needs.
type Config struct {
	DB      *sql.DB
	Dialect string // "sqlite3" or "postgres"
	Key     *Key   // signs checkpoints; nil: this process appends and reads, but Run refuses
	// Room says why nothing may be logged although it could be: what room is left on the disk is somebody else's.
	// Nil: nothing is in the way. Numbering never asks.
	Room func() error
	// Keep is how long an entry is kept; nil: for ever. What is older the sequencer removes, and says so in the log.
	Keep   *policy.Period
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: slog.Default
}

// Log is the audit log over one database. Any number of processes may append; the first that runs Run
// sequences.
type Log struct {
	db     *sql.DB
	engine engine
	key    atomic.Pointer[Key] // nil: this process does not number; changes when another key follows
	keep   *policy.Period
	room   func() error
	now    func() time.Time
	logger *slog.Logger
	ids    ids

	together together
}

var (
	_ policy.Log      = (*Log)(nil)
	_ policy.Viewings = (*Log)(nil)
)

// New checks the configuration. The tables must exist: see Migrate.
func New(cfg Config) (*Log, error) {
	engine, err := engineOf(cfg.Dialect)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	if cfg.DB == nil {
		return nil, errors.New("audit log: a database must be given")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Room == nil {
		cfg.Room = func() error { return nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	l := &Log{
		db: cfg.DB, engine: engine, keep: cfg.Keep, room: cfg.Room, now: cfg.Now, logger: cfg.Logger,
		ids: ids{entropy: ulid.Monotonic(rand.Reader, 0)},
	}
	l.key.Store(cfg.Key)
	return l, nil
}

// Append writes e inside tx. It is logged when tx commits; its number and proof follow within a second. Id
// and time are set here unless the caller knows them.
func (l *Log) Append(ctx context.Context, tx *sql.Tx, e policy.Entry) error {
	p, err := l.prepare(e)
	if err != nil {
		return err
	}
	return p.insert(ctx, tx)
}

// rowsAtOnce is how many entries one statement writes.
const rowsAtOnce = 1000

// AppendAll is Append for many entries in few statements.
func (l *Log) AppendAll(ctx context.Context, tx *sql.Tx, entries []policy.Entry) error {
	for batch := range slices.Chunk(entries, rowsAtOnce) {
		var rows strings.Builder
		var args []any
		for i, e := range batch {
			p, err := l.prepare(e)
			if err != nil {
				return err
			}
			if i > 0 {
				rows.WriteByte(',')
			}
			fmt.Fprintf(&rows, "($%d,$%d,$%d)", 3*i+1, 3*i+2, 3*i+3)
			args = append(args, p.id, p.at, p.entry)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit_pending (id, at, entry) VALUES `+rows.String(), args...); err != nil { //nolint:gosec // it holds numbers of parameters
			return notLogged(fmt.Sprintf("append %d entries", len(batch)), err)
		}
	}
	return nil
}

// pending is an entry as it waits for its number.
type pending struct {
	id    string
	at    int64
	entry []byte
	event policy.Event
}

// prepare gives an entry its id and time, and its form.
func (l *Log) prepare(e policy.Entry) (pending, error) {
	if err := l.room(); err != nil {
		return pending{}, notLogged("append "+string(e.Event), err)
	}
	now := l.now()
	if e.Time.IsZero() {
		e.Time = now
	}
	e = e.Stamped(e.Time)
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	if e.ID == "" {
		id, err := l.ids.next(now)
		if err != nil {
			return pending{}, notLogged("name an entry", err)
		}
		e.ID = id
	}
	entry, err := encode(e)
	if err != nil {
		return pending{}, fmt.Errorf("%w: %w", policy.ErrLogUnavailable, err)
	}
	return pending{e.ID, e.Time.UnixMicro(), entry, e.Event}, nil
}

func (p pending) insert(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit_pending (id, at, entry) VALUES ($1, $2, $3)`, p.id, p.at, p.entry)
	if err != nil {
		return notLogged("append "+string(p.event), err)
	}
	return nil
}

func notLogged(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", policy.ErrLogUnavailable, what, err)
}

// Probe writes an entry and takes it back: it fails when Record would, and leaves nothing.
func (l *Log) Probe(ctx context.Context) error {
	err := l.within(ctx, func(tx *sql.Tx) error {
		if err := l.Append(ctx, tx, policy.ServiceStartedEntry("service:probe")); err != nil {
			return err
		}
		return errProbed
	})
	if errors.Is(err, errProbed) {
		return nil
	}
	return err
}

var errProbed = errors.New("taken back")

// within runs do in a transaction. Whatever fails, the log could not be written.
func (l *Log) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return notLogged("begin", err)
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return notLogged("commit", err)
	}
	return nil
}

// ids makes ULIDs that grow within one process even when the clock steps back, because the sequencer
// takes leaves in the order of their ids.
type ids struct {
	mu      sync.Mutex
	last    uint64
	entropy io.Reader
}

func (s *ids) next(now time.Time) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, ulid.Timestamp(now))
	id, err := ulid.New(s.last, s.entropy)
	if err != nil {
		return "", err
	}
	return id.String(), nil
}
