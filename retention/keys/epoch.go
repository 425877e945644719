package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Epoch is the installation and epoch that the keys are of; empty if they do not say.
func (s *Store) Epoch(ctx context.Context) (installation string, n int64, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT installation, epoch FROM keys_epoch WHERE id = 1`).Scan(&installation, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("reading of which installation the keys are: %w", err)
	}
	return installation, n, nil
}

// SetEpoch says of which installation and epoch the keys are.
func (s *Store) SetEpoch(ctx context.Context, installation string, n int64) error {
	_, err := s.DB.ExecContext(ctx, `INSERT INTO keys_epoch (id, installation, epoch) VALUES (1, $1, $2)
		ON CONFLICT (id) DO UPDATE SET installation = excluded.installation, epoch = excluded.epoch`, installation, n)
	if err != nil {
		return fmt.Errorf("noting of which installation the keys are: %w", err)
	}
	return nil
}
