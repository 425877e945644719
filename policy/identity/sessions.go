package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Sessions is a store for the scs session manager. Set HashTokenInStore there: then a copy of the
// table opens no session.
type Sessions struct {
	db     *sql.DB
	now    func() time.Time
	logger *slog.Logger
}

var _ scs.CtxStore = (*Sessions)(nil)

// NewSessions makes the store; now and logger may be nil. The tables must exist: see Migrate.
func NewSessions(db *sql.DB, now func() time.Time, logger *slog.Logger) *Sessions {
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.Default()
	}
	return &Sessions{db: db, now: now, logger: logger}
}

// FindCtx reads a session that has not expired.
func (s *Sessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var data []byte
	err := s.db.QueryRowContext(ctx, `SELECT data FROM identity_session WHERE token = $1 AND expires > $2 AND ended = 0`,
		token, s.now().UnixMicro()).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find session: %w", err)
	}
	return data, true, nil
}

// CommitCtx writes a session, unless it was ended meanwhile: a request that was under way when somebody
// logged out must not bring the session back. expiry is by the system clock, which the session manager
// reads; what counts is how long that is from now, since our own clock may be ahead of it.
func (s *Sessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO identity_session (token, data, expires) VALUES ($1, $2, $3)
		ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires = excluded.expires WHERE identity_session.ended = 0`,
		token, data, s.now().Add(time.Until(expiry)).UnixMicro())
	if err != nil {
		return fmt.Errorf("write session: %w", err)
	}
	return nil
}

// DeleteCtx ends a session for good. Its token is remembered, without data, until it would have expired.
func (s *Sessions) DeleteCtx(ctx context.Context, token string) error {
	if _, err := s.db.ExecContext(ctx, `UPDATE identity_session SET ended = 1, data = $1 WHERE token = $2`, []byte{}, token); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// Find is FindCtx without a context: scs asks for such a store and then uses the other methods.
func (s *Sessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (s *Sessions) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete is DeleteCtx without a context.
func (s *Sessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// Run removes expired sessions every minute until ctx ends.
func (s *Sessions) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		_, err := s.db.ExecContext(ctx, `DELETE FROM identity_session WHERE expires <= $1`, s.now().UnixMicro())
		if err != nil && ctx.Err() == nil {
			s.logger.Error("expired sessions were not removed; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
