package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit/verify"
)

// Errors of a cosignature that is not taken.
var (
	ErrUnknownWitness  = errors.New("no witness that this log knows made that cosignature")
	ErrOtherCheckpoint = errors.New("that is no checkpoint of this log")
)

// Cosign takes a witness's cosignature: the text of one of the log's checkpoints, an empty line, and the
// signature line of a witness whose verifier key is among witnesses. Of each witness the newest word within an
// hour is kept. The first word of a witness, and its first after a silence of an hour, is an entry of the log.
func (l *Log) Cosign(ctx context.Context, signed string, witnesses []*verify.Witness) error {
	text, line, ok := strings.Cut(signed, "\n\n")
	if !ok || strings.Count(line, "\n") != 1 {
		return fmt.Errorf("%w: want a checkpoint's text, an empty line and one signature line", ErrOtherCheckpoint)
	}
	var stored string
	// The text names its number in its fourth line; what the database has under it decides.
	_, rest, _ := strings.Cut(text, "\nklarsyn-checkpoint ")
	digits, _, _ := strings.Cut(rest, "\n")
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return ErrOtherCheckpoint
	}
	err = l.db.QueryRowContext(ctx, `SELECT note FROM audit_checkpoint WHERE number = $1`, number).Scan(&stored)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrOtherCheckpoint
	}
	if err != nil {
		return fmt.Errorf("find the checkpoint that was cosigned: %w", err)
	}
	checkpoint, err := verify.TextOf(stored)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if checkpoint.Body() != text+"\n" {
		return ErrOtherCheckpoint
	}
	one, err := verify.OpenCosignature(checkpoint, line, witnesses)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownWitness, err)
	}
	return l.keepCosignature(ctx, one)
}

func (l *Log) keepCosignature(ctx context.Context, one verify.Cosigned) error {
	now := l.now()
	return l.within(ctx, func(tx *sql.Tx) error {
		var last sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT MAX(at) FROM audit_cosignature WHERE witness = $1`, one.Witness).Scan(&last); err != nil {
			return fmt.Errorf("keep a cosignature: %w", err)
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO audit_cosignature (witness, vkey, hour, number, size, at, line) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (witness, hour) DO UPDATE SET vkey = excluded.vkey, number = excluded.number, size = excluded.size, at = excluded.at, line = excluded.line
			WHERE excluded.number >= audit_cosignature.number`,
			one.Witness, one.Key, now.Unix()/3600, one.Checkpoint, one.Size, one.Time.UnixMicro(), one.Line)
		if err != nil {
			return fmt.Errorf("keep a cosignature: %w", err)
		}
		if last.Valid && now.Sub(micros(last.Int64)) < time.Hour {
			return nil
		}
		return l.Append(ctx, tx, policy.CheckpointCosignedEntry(one.Witness, one.Checkpoint))
	})
}

// Cosigned are the newest cosignatures of each witness.
func (l *Log) Cosigned(ctx context.Context) ([]verify.Cosigned, error) {
	rows, err := cosignaturesOf(ctx, l.db, `number >= $1 AND hour = (SELECT MAX(hour) FROM audit_cosignature o WHERE o.witness = audit_cosignature.witness)`, int64(0))
	if err != nil {
		return nil, err
	}
	newest := make([]verify.Cosigned, 0, len(rows))
	for _, c := range rows {
		newest = append(newest, verify.Cosigned{Witness: c.witness, Checkpoint: c.number, Size: c.size, Time: micros(c.at), Line: c.line})
	}
	return newest, nil
}

type storedCosignature struct {
	witness          string
	number, size, at int64
	line             string
}

// cosignaturesOf lists cosignatures, oldest checkpoint first.
func cosignaturesOf(ctx context.Context, from queryer, where string, arg any) ([]storedCosignature, error) {
	rows, err := from.QueryContext(ctx, `SELECT witness, number, size, at, line FROM audit_cosignature WHERE `+where+` ORDER BY number, witness`, arg)
	if err != nil {
		return nil, fmt.Errorf("read cosignatures: %w", err)
	}
	defer rows.Close()
	var found []storedCosignature
	for rows.Next() {
		var c storedCosignature
		if err := rows.Scan(&c.witness, &c.number, &c.size, &c.at, &c.line); err != nil {
			return nil, fmt.Errorf("read cosignatures: %w", err)
		}
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read cosignatures: %w", err)
	}
	return found, nil
}
