package database

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Contended says that PostgreSQL took a transaction back because it and another stood in each other's way. Nothing of it was
// done: it may be begun anew, from its first statement.
func Contended(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "40P01", // deadlock_detected
		"40001": // serialization_failure
		return true
	default:
		return false
	}
}
