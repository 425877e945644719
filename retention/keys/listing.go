package keys

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"klarsyn/policy"
)

// DayKeys lists every day key, with when it was minted. It opens none.
func (s *Store) DayKeys(ctx context.Context) (map[policy.DayKey]time.Time, error) {
	all := map[policy.DayKey]time.Time{}
	err := s.minted(ctx, "day keys", `SELECT permit, day, minted_us FROM keys_day`, func(rows *sql.Rows) error {
		var k policy.DayKey
		var us int64
		err := rows.Scan(&k.Permit, &k.Day, &us)
		all[k] = time.UnixMicro(us).UTC()
		return err
	})
	return all, err
}

// CaseKeys lists the cases that have a key, with when somebody last asked for it. It opens none.
func (s *Store) CaseKeys(ctx context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := s.minted(ctx, "case keys", `SELECT case_number, CASE WHEN asked_us > minted_us THEN asked_us ELSE minted_us END FROM keys_case`, func(rows *sql.Rows) error {
		var number string
		var us int64
		err := rows.Scan(&number, &us)
		all[number] = time.UnixMicro(us).UTC()
		return err
	})
	return all, err
}

func (s *Store) minted(ctx context.Context, what, query string, each func(*sql.Rows) error) error {
	rows, err := s.DB.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("listing %s: %w", what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return fmt.Errorf("listing %s: %w", what, err)
		}
	}
	return rows.Err()
}
