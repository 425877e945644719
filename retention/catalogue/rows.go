package catalogue

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// rowsAtOnce is how many rows one statement of All reads. A statement that lasts keeps the database from emptying its log of
// deleted headers, and PostgreSQL ends it after half a minute, however slowly its reader goes on.
const rowsAtOnce = 5000

const allClips = `SELECT ` + clipColumns + `, header FROM catalogue_clip LEFT JOIN catalogue_header ON clip = id
	WHERE (camera, start_us, id) > ($1, $2, $3) ORDER BY camera, start_us, id LIMIT $4`

// All yields every clip ever reserved, ordered by camera and start. It holds nothing while its reader works: a clip that is
// reserved or changed meanwhile may come as it was before or as it is after.
func (c *Catalogue) All(ctx context.Context) iter.Seq2[retention.Row, error] {
	return func(yield func(retention.Row, error) bool) {
		var last retention.Row
		for {
			page, err := c.rowsAfter(ctx, last)
			if err != nil {
				yield(retention.Row{}, fmt.Errorf("reading all clips: %w", err))
				return
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
			}
			if len(page) < rowsAtOnce {
				return
			}
			last = page[len(page)-1]
		}
	}
}

func (c *Catalogue) rowsAfter(ctx context.Context, last retention.Row) ([]retention.Row, error) {
	rows, err := c.DB.QueryContext(ctx, allClips, last.Camera, micros(last.Start), last.ID, rowsAtOnce) //nolint:sqlclosecheck // closed below: it does not look past the function literal
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []retention.Row
	var header sql.RawBytes
	for rows.Next() {
		clip, err := scanClip(func(dest ...any) error { return rows.Scan(append(dest, &header)...) })
		if err != nil {
			return nil, err
		}
		row := retention.Row{Clip: clip, HasHeader: header != nil}
		if row.HasHeader {
			row.HeaderHash = sha256.Sum256(header)
		}
		page = append(page, row)
	}
	return page, rows.Err()
}

// Checked is the catalogue for a checker, which wants all of everything.
type Checked struct{ *Catalogue }

// Gaps lists every gap of a camera, or of all.
func (c Checked) Gaps(ctx context.Context, cam string) ([]retention.Gap, error) {
	return c.Catalogue.Gaps(ctx, camera.ID(cam), time.Time{}, time.UnixMicro(math.MaxInt64))
}

// Recipients lists the day keys whose public half recorders can find.
func (c Checked) Recipients(ctx context.Context) ([]policy.DayKey, error) {
	rows, err := c.DB.QueryContext(ctx, `SELECT permit, day FROM catalogue_recipient ORDER BY permit, day`)
	if err != nil {
		return nil, fmt.Errorf("reading recipients: %w", err)
	}
	defer rows.Close()
	var all []policy.DayKey
	for rows.Next() {
		var k policy.DayKey
		if err := rows.Scan(&k.Permit, &k.Day); err != nil {
			return nil, fmt.Errorf("reading recipients: %w", err)
		}
		all = append(all, k)
	}
	return all, rows.Err()
}

// Holds lists every hold there ever was.
func (c Checked) Holds(ctx context.Context) ([]retention.Hold, error) {
	return holds(ctx, c.DB, `ORDER BY id`)
}

// Held lists what every hold keeps, and what it kept before it let go.
func (c Checked) Held(ctx context.Context) ([]retention.HeldRow, error) {
	rows, err := c.DB.QueryContext(ctx, `SELECT hold, clip, from_us, to_us, cut, over_us, header, COALESCE(length(file_key), 0) FROM catalogue_held ORDER BY hold, clip`)
	if err != nil {
		return nil, fmt.Errorf("reading what is held: %w", err)
	}
	defer rows.Close()
	var all []retention.HeldRow
	for rows.Next() {
		var h retention.HeldRow
		var from, to, over int64
		var header []byte
		if err := rows.Scan(&h.Hold, &h.Clip, &from, &to, &h.Cut, &over, &header, &h.FileKeySize); err != nil {
			return nil, fmt.Errorf("reading what is held: %w", err)
		}
		h.From, h.To, h.Over = instant(from), instant(to), instant(over)
		if h.HasHeader = len(header) > 0; h.HasHeader {
			h.HeaderHash = sha256.Sum256(header)
		}
		all = append(all, h)
	}
	return all, rows.Err()
}
