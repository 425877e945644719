package audit

import (
	"database/sql"
	"fmt"
)

// engine holds the little in which the two database engines differ; the SQL itself is the same text.
type engine struct {
	// snapshot begins a transaction that reads one state of the whole database.
	snapshot sql.TxOptions
}

func engineOf(dialect string) (engine, error) {
	switch dialect {
	case "sqlite3":
		return engine{snapshot: sql.TxOptions{ReadOnly: true}}, nil // deferred; WAL gives a snapshot
	case "postgres":
		return engine{snapshot: sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}}, nil
	}
	return engine{}, fmt.Errorf(`dialect %q is not known: want "sqlite3" or "postgres"`, dialect)
}
