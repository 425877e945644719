package catalogue

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"math"
	"time"

	"klarsyn/camera"
	"klarsyn/retention"
)

// All yields every clip ever reserved, ordered by camera and start.
func (c *Catalogue) All(ctx context.Context) iter.Seq2[retention.Row, error] {
	return func(yield func(retention.Row, error) bool) {
		const query = `SELECT ` + clipColumns + `, header FROM catalogue_clip
			LEFT JOIN catalogue_header ON clip = id ORDER BY camera, start_us, id`
		rows, err := c.DB.QueryContext(ctx, query) //nolint:sqlclosecheck // closed below, in an iterator that it does not look into
		if err != nil {
			yield(retention.Row{}, fmt.Errorf("reading all clips: %w", err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var header []byte
			clip, err := scanClip(func(dest ...any) error { return rows.Scan(append(dest, &header)...) })
			if err != nil {
				yield(retention.Row{}, fmt.Errorf("reading all clips: %w", err))
				return
			}
			row := retention.Row{Clip: clip, HasHeader: header != nil}
			if row.HasHeader {
				row.HeaderHash = sha256.Sum256(header)
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(retention.Row{}, fmt.Errorf("reading all clips: %w", err))
		}
	}
}

// Checked is the catalogue for a checker, which wants all of everything.
type Checked struct{ *Catalogue }

// Gaps lists every gap of a camera, or of all.
func (c Checked) Gaps(ctx context.Context, cam string) ([]retention.Gap, error) {
	return c.Catalogue.Gaps(ctx, camera.ID(cam), time.Time{}, time.UnixMicro(math.MaxInt64))
}
