// Package occupancy keeps the counts of people per zone: numbers with an error bar, never a picture and
// never a zero that stands for "unknown".
package occupancy

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations make the occupancy_ tables, for SQLite and PostgreSQL.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return files
}

// Store keeps samples in SQL.
type Store struct {
	DB *sql.DB
	// Now is the clock that ids bear (default time.Now). It may go back; ids do not.
	Now func() time.Time
}

// Add keeps samples. Numbers of a sample that is not QualityOK are not kept at all, and a sample whose
// numbers are none is unknown, whatever it says of itself: a database reads NaN as NULL.
func (s *Store) Add(ctx context.Context, samples []camera.Sample) error {
	tx, err := s.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("keeping samples: %w", err)
	}
	defer tx.Rollback() // after Commit it does nothing
	id, err := lastID(ctx, tx)
	if err != nil {
		return fmt.Errorf("keeping samples: %w", err)
	}
	for _, m := range samples {
		id = s.nextID(id)
		for _, v := range []float64{m.Present, m.Moving, m.Low, m.High} {
			if m.Quality == camera.QualityOK && (math.IsNaN(v) || math.IsInf(v, 0)) {
				m.Quality = camera.QualityUnknown
			}
		}
		number := func(v float64) any {
			if m.Quality != camera.QualityOK {
				return nil
			}
			return v
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO occupancy_sample (id, camera, zone, time_us, present, moving, low, high, quality, method)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, id.String(), m.Camera, m.Zone, m.Time.UnixMicro(),
			number(m.Present), number(m.Moving), number(m.Low), number(m.High), m.Quality, m.Method); err != nil {
			return fmt.Errorf("keeping samples: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("keeping samples: %w", err)
	}
	return nil
}

// lastID is the newest id that was given, by whichever process.
func lastID(ctx context.Context, tx *sql.Tx) (id ulid.ULID, err error) {
	var text sql.NullString
	if err := tx.QueryRowContext(ctx, `SELECT MAX(id) FROM occupancy_sample`).Scan(&text); err != nil || !text.Valid {
		return id, err
	}
	id, err = ulid.ParseStrict(text.String)
	if err != nil {
		return id, fmt.Errorf("the id %q of a sample is no ULID: %w", text.String, err)
	}
	return id, nil
}

// nextID is a new id after last. A clock that was set back, or has not moved on, gives no time to begin with:
// then the id is a number not far above, and not the very next, which another process may take at the same moment.
func (s *Store) nextID(last ulid.ULID) ulid.ULID {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if ms := ulid.Timestamp(now()); ms > last.Time() {
		if id, err := ulid.New(ms, ulid.DefaultEntropy()); err == nil {
			return id
		}
	}
	carry := 1 + uint64(rand.Uint32())
	for i := len(last) - 1; i >= 0 && carry > 0; i-- {
		carry += uint64(last[i])
		last[i] = byte(carry)
		carry >>= 8
	}
	return last
}

const columns = `camera, zone, time_us, present, moving, low, high, quality, method`

// Samples lists samples of [from, to), oldest first, at most limit; an empty camera or zone means all.
func (s *Store) Samples(ctx context.Context, cam camera.ID, zone string, from, to time.Time, limit int) ([]camera.Sample, error) {
	return s.query(ctx, `SELECT `+columns+` FROM occupancy_sample
		WHERE (camera = $1 OR $1 = '') AND (zone = $2 OR $2 = '') AND time_us >= $3 AND time_us < $4
		ORDER BY time_us, camera, zone LIMIT $5`, cam, zone, from.UnixMicro(), to.UnixMicro(), limit)
}

// Latest is the newest sample of every zone that has one not older than since. The newest is the one that
// arrived last: after a clock was put right an older one may bear a later time.
func (s *Store) Latest(ctx context.Context, since time.Time) ([]camera.Sample, error) {
	return s.query(ctx, `SELECT `+columns+` FROM occupancy_sample WHERE id IN (
			SELECT MAX(id) FROM occupancy_sample WHERE time_us >= $1 GROUP BY camera, zone)
		ORDER BY camera, zone`, since.UnixMicro())
}

func (s *Store) query(ctx context.Context, query string, args ...any) ([]camera.Sample, error) {
	rows, err := s.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading samples: %w", err)
	}
	defer rows.Close()
	var out []camera.Sample
	for rows.Next() {
		var m camera.Sample
		var us int64
		var present, moving, low, high sql.NullFloat64
		if err := rows.Scan(&m.Camera, &m.Zone, &us, &present, &moving, &low, &high, &m.Quality, &m.Method); err != nil {
			return nil, fmt.Errorf("reading samples: %w", err)
		}
		m.Time = time.UnixMicro(us).UTC()
		m.Present, m.Moving, m.Low, m.High = present.Float64, moving.Float64, low.Float64, high.Float64
		out = append(out, m)
	}
	return out, rows.Err()
}
