package database

import (
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5/pgconn"
)

// Denied says that a database is there, and whoever asked may not: not enter it, or not read what he asked for.
func Denied(err error) bool {
	if errors.Is(err, fs.ErrPermission) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "42501", // insufficient_privilege: also for who may not connect
		"28000": // not from here
		return true
	default:
		return false
	}
}
