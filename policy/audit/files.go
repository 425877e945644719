package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// stored shows one state of the stored log as the files of a tiled log: what is exported, what is served and
// what is verified are the same bytes.
type stored struct {
	ctx     context.Context
	mu      sync.Mutex // a transaction answers one question at a time
	from    queryer
	trusted []string
	// seen is told of the rows of the log that are read, by several goroutines at once; nil: nobody is.
	seen func([]storedLeaf)
}

// File is a file of the log as it is now: what is served to those who check it. Entries are among them; whoever
// shows those logs first that the log is read.
func (l *Log) File(ctx context.Context, name string) ([]byte, error) {
	content, err := (&stored{ctx: ctx, from: l.db}).ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s of the log: %w", name, err)
	}
	return content, err
}

// ReadFile is the content of a file of the log, fs.ErrNotExist if the log has none of that name.
func (s *stored) ReadFile(name string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(name, "tile/entries/"); ok {
		return s.numbered(rest, s.entries)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := s.read(name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fs.ErrNotExist
	}
	return content, err
}

func (s *stored) read(name string) ([]byte, error) {
	switch name {
	case leaf.Newest:
		return s.newest()
	case leaf.Rotations:
		return s.rotations()
	case leaf.Cosignatures:
		return s.cosignatures()
	case leaf.Keys:
		return s.keys()
	case leaf.Witnesses:
		return s.witnesses()
	case leaf.First:
		return s.first()
	}
	if rest, ok := strings.CutPrefix(name, "checkpoints/"); ok {
		return s.numbered(rest, s.checkpoints)
	}
	if rest, ok := strings.CutPrefix(name, "tile/"); ok {
		digits, rest, _ := strings.Cut(rest, "/")
		level, err := strconv.Atoi(digits)
		if err != nil || strconv.Itoa(level) != digits || level < 0 || level > 7 {
			return nil, fs.ErrNotExist
		}
		return s.numbered(rest, func(span leaf.Span) ([]byte, error) { return s.tile(level, span) })
	}
	return nil, fs.ErrNotExist
}

// numbered reads the number and width at the end of a name.
func (s *stored) numbered(rest string, read func(leaf.Span) ([]byte, error)) ([]byte, error) {
	span, ok := leaf.ParseSpan(rest)
	if !ok {
		return nil, fs.ErrNotExist
	}
	return read(span)
}

func (s *stored) newest() ([]byte, error) {
	var signed string
	var number int64
	err := s.from.QueryRowContext(s.ctx, `SELECT number, note FROM audit_checkpoint ORDER BY number DESC LIMIT 1`).Scan(&number, &signed)
	if err != nil {
		return nil, err
	}
	cosigned, err := cosignaturesOf(s.ctx, s.from, `number = $1`, number)
	for _, c := range cosigned {
		signed += c.line
	}
	return []byte(signed), err
}

func (s *stored) rotations() ([]byte, error) {
	notes, err := rotations(s.ctx, s.from)
	if err == nil && len(notes) == 0 {
		return nil, fs.ErrNotExist
	}
	var bundle []byte
	for _, signed := range notes {
		if bundle, err = leaf.AppendBundle(bundle, []byte(signed)); err != nil {
			return nil, err
		}
	}
	return bundle, err
}

// cosignatures are those of checkpoints before the newest, which carries its own.
func (s *stored) cosignatures() ([]byte, error) {
	cosigned, err := cosignaturesOf(s.ctx, s.from, `number < (SELECT MAX(number) FROM audit_checkpoint) AND number >= $1`, int64(0))
	if err == nil && len(cosigned) == 0 {
		return nil, fs.ErrNotExist
	}
	var b strings.Builder
	for _, c := range cosigned {
		fmt.Fprintf(&b, "%d %s", c.number, c.line)
	}
	return []byte(b.String()), err
}

func (s *stored) keys() ([]byte, error) {
	chain, err := loadChain(s.ctx, s.from, s.trusted...)
	if err != nil {
		return nil, err
	}
	return lines(chain.Keys())
}

// witnesses are the verifier keys of those whose cosignatures are kept.
func (s *stored) witnesses() ([]byte, error) {
	rows, err := s.from.QueryContext(s.ctx, `SELECT DISTINCT vkey FROM audit_cosignature ORDER BY vkey`)
	if err != nil {
		return nil, fmt.Errorf("read witnesses: %w", err)
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("read witnesses: %w", err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read witnesses: %w", err)
	}
	return lines(keys)
}

func lines(list []string) ([]byte, error) {
	if len(list) == 0 {
		return nil, fs.ErrNotExist
	}
	return []byte(strings.Join(list, "\n") + "\n"), nil
}

func (s *stored) first() ([]byte, error) {
	var entry, checkpoint int64
	err := s.from.QueryRowContext(s.ctx, `SELECT first_leaf, first_checkpoint FROM audit_sequencer WHERE id = 1`).Scan(&entry, &checkpoint)
	if err != nil || (entry == 0 && checkpoint == 1) {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	return []byte(verify.FormatFirst(entry, checkpoint)), nil
}

func (s *stored) tile(level int, span leaf.Span) ([]byte, error) {
	hashes, err := storedTile(s.ctx, s.from, level, span.N)
	if err != nil {
		return nil, err
	}
	// A tile that has grown meanwhile holds what it held before.
	if want := span.Width * tlog.HashSize; len(hashes) > want && len(hashes)%tlog.HashSize == 0 {
		hashes = hashes[:want]
	}
	return hashes, nil
}

func (s *stored) entries(span leaf.Span) ([]byte, error) {
	s.mu.Lock()
	rows, err := storedLeaves(s.ctx, s.from, span.First(), span.First()+int64(span.Width))
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fs.ErrNotExist
	}
	if s.seen != nil {
		s.seen(rows)
	}
	var bundle []byte
	for i, row := range rows {
		if row.seq != span.First()+int64(i) {
			return bundle, nil // cut off where a row is missing: whoever reads it sees that
		}
		if bundle, err = leaf.AppendBundle(bundle, leaf.Record(row.entry, micros(row.sequenced))); err != nil {
			return bundle[:len(bundle):len(bundle)], nil
		}
	}
	return bundle, nil
}

func (s *stored) checkpoints(span leaf.Span) ([]byte, error) {
	rows, err := s.from.QueryContext(s.ctx, `
		SELECT number, note FROM audit_checkpoint WHERE number > $1 AND number <= $2
		AND number >= (SELECT first_checkpoint FROM audit_sequencer WHERE id = 1) ORDER BY number`,
		span.First(), span.First()+int64(span.Width))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var bundle []byte
	for next := span.First() + 1; rows.Next(); next++ {
		var number int64
		var signed string
		if err := rows.Scan(&number, &signed); err != nil {
			return nil, err
		}
		if number != next {
			break
		}
		if bundle, err = leaf.AppendBundle(bundle, []byte(signed)); err != nil {
			break
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if bundle == nil {
		return nil, fs.ErrNotExist
	}
	return bundle, nil
}
