package database

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// MoveSchema gives the schema public of a PostgreSQL database another name, if the table is in it, and makes a new one in its
// place. Nobody but the owner has a right in that one.
func MoveSchema(ctx context.Context, address, to, table string) error {
	db, err := OpenPostgres(ctx, address)
	if err != nil {
		return err
	}
	defer db.Close()
	var there, moved bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('public.' || $1) IS NOT NULL, to_regnamespace($2) IS NOT NULL`, table, pgx.Identifier{to}.Sanitize()).Scan(&there, &moved); err != nil {
		return fmt.Errorf("moving tables aside: %w", err)
	}
	if !there || moved {
		return nil
	}
	return inOne(ctx, db, "moving tables aside", `ALTER SCHEMA public RENAME TO `+pgx.Identifier{to}.Sanitize(), `CREATE SCHEMA public`)
}

// EmptySchema removes all that is in the schema public of a PostgreSQL database.
func EmptySchema(ctx context.Context, db *sql.DB) error {
	return inOne(ctx, db, "emptying a database", `DROP SCHEMA IF EXISTS public CASCADE`, `CREATE SCHEMA public`)
}

// EmptyTables removes what migrations wrote into the tables that they made, so that rows which were dumped fit in.
func EmptyTables(ctx context.Context, db *sql.DB, but string) error {
	rows, err := db.QueryContext(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%\_migrations' AND tablename <> $1`, but)
	if err != nil {
		return fmt.Errorf("emptying tables: %w", err)
	}
	defer rows.Close()
	var statements []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return fmt.Errorf("emptying tables: %w", err)
		}
		statements = append(statements, `DELETE FROM `+pgx.Identifier{"public", name}.Sanitize())
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("emptying tables: %w", err)
	}
	return inOne(ctx, db, "emptying tables", statements...)
}

func inOne(ctx context.Context, db *sql.DB, what string, statements ...string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer tx.Rollback()
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
