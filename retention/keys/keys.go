// Package keys keeps the day keys: one age identity per permit and UTC day, sealed under the master key,
// in a database of its own whose backups live shorter than the footage. Destroying a day key makes every
// clip sealed to it unreadable, wherever copies of the catalogue or of the clips may lie.
package keys

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"filippo.io/age"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNoKey says that a key, of a day or of a case, does not exist, or not any more.
var ErrNoKey = errors.New("it does not exist, or was destroyed")

// Migrations make the keys_ tables, for SQLite and PostgreSQL.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return files
}

// Key names a day key.
type Key struct {
	Permit string
	Day    string // UTC, 2006-01-02
}

// Store keeps day keys. Sealer may be nil where none are minted, Opener where none are opened.
type Store struct {
	DB     *sql.DB
	Sealer Sealer
	Opener Opener
	Now    func() time.Time
}

// Mint makes the day key unless it exists, and returns its public recipient. minted is false if it existed.
func (s *Store) Mint(ctx context.Context, k Key) (recipient string, minted bool, err error) {
	recipient, err = s.Recipient(ctx, k)
	if !errors.Is(err, ErrNoKey) {
		return recipient, false, err
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return "", false, fmt.Errorf("minting a day key: %w", err)
	}
	minted, err = s.sealAndKeep(ctx, []byte(identity.String()),
		`INSERT INTO keys_day (permit, day, recipient, sealed, minted_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		func(sealed []byte) ([]any, error) {
			return []any{k.Permit, k.Day, identity.Recipient().String(), sealed, s.Now().UnixMicro()}, nil
		})
	if err != nil {
		return "", false, fmt.Errorf("minting the day key %s %s: %w", k.Permit, k.Day, err)
	}
	// Another minter may have been faster: then its key counts.
	recipient, err = s.Recipient(ctx, k)
	return recipient, minted, err
}

// Recipient is the public half of a day key.
func (s *Store) Recipient(ctx context.Context, k Key) (string, error) {
	var r string
	err := s.DB.QueryRowContext(ctx, `SELECT recipient FROM keys_day WHERE permit = $1 AND day = $2`, k.Permit, k.Day).Scan(&r)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("the day key %s %s: %w", k.Permit, k.Day, ErrNoKey)
	}
	return r, err
}

// Identity opens a day key.
func (s *Store) Identity(ctx context.Context, permit, day string) (age.Identity, error) {
	var sealed []byte
	err := s.DB.QueryRowContext(ctx, `SELECT sealed FROM keys_day WHERE permit = $1 AND day = $2`, permit, day).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("the day key %s %s: %w", permit, day, ErrNoKey)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the day key %s %s: %w", permit, day, err)
	}
	plain, err := s.Opener.Open(ctx, sealed)
	if err != nil {
		return nil, err
	}
	identity, err := age.ParseHybridIdentity(string(plain))
	if err != nil {
		return nil, fmt.Errorf("the day key %s %s is damaged: restore the key store from its backup", permit, day)
	}
	return identity, nil
}

// Before lists the day keys of days before day.
func (s *Store) Before(ctx context.Context, day string) ([]Key, error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT permit, day FROM keys_day WHERE day < $1 ORDER BY day, permit`, day)
	if err != nil {
		return nil, fmt.Errorf("listing day keys: %w", err)
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		var k Key
		if err := rows.Scan(&k.Permit, &k.Day); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// Destroy removes the day key for good; destroyed is false if it was gone already.
func (s *Store) Destroy(ctx context.Context, k Key) (destroyed bool, err error) {
	res, err := s.DB.ExecContext(ctx, `DELETE FROM keys_day WHERE permit = $1 AND day = $2`, k.Permit, k.Day)
	if err != nil {
		return false, fmt.Errorf("destroying the day key %s %s: %w", k.Permit, k.Day, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
