package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"

	"klarsyn/retention/crashpoint"
)

// MintCase makes the key of a case unless it exists, and returns its public recipient. tell logs that the case has a key, before it
// is kept: a crash between the two leaves a word too many in the log, never a key without a word. Whoever asks may be about to
// hold something: for a while the key stays although no hold needs it yet.
func (s *Store) MintCase(ctx context.Context, caseNumber string, tell func(ctx context.Context, caseNumber string) error) (string, error) {
	asked, err := s.askForCase(ctx, caseNumber)
	if err != nil {
		return "", err
	}
	if !asked {
		if err := s.mintCase(ctx, caseNumber, tell); err != nil {
			return "", fmt.Errorf("minting the key of case %s: %w", caseNumber, err)
		}
		crashpoint.Here("case.minted")
	}
	// Another minter may have been faster: then its key counts.
	return s.caseRecipient(ctx, caseNumber)
}

func (s *Store) mintCase(ctx context.Context, caseNumber string, tell func(ctx context.Context, caseNumber string) error) error {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return err
	}
	told := false
	_, err = s.sealAndKeep(ctx, []byte(identity.String()),
		`INSERT INTO keys_case (case_number, recipient, sealed, minted_us, asked_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		func(sealed []byte) ([]any, error) {
			// Once it is sealed, and once only: a key server that is away makes no entries.
			if !told {
				if err := tell(ctx, caseNumber); err != nil {
					return nil, err
				}
				told = true
				crashpoint.Here("case.told")
			}
			now := s.Now().UnixMicro()
			return []any{caseNumber, identity.Recipient().String(), sealed, now, now}, nil
		})
	return err
}

// CaseRecipient is the public half of the key of a case, for what its hold has cut out; ErrNoKey if it is gone. It asks for the key
// as MintCase does, and makes none: what the hold keeps is sealed to the one that was there.
func (s *Store) CaseRecipient(ctx context.Context, caseNumber string) (string, error) {
	if _, err := s.askForCase(ctx, caseNumber); err != nil {
		return "", err
	}
	return s.caseRecipient(ctx, caseNumber)
}

// askForCase notes that somebody asks for the key of a case, and reports whether there is one.
func (s *Store) askForCase(ctx context.Context, caseNumber string) (bool, error) {
	res, err := s.DB.ExecContext(ctx, `UPDATE keys_case SET asked_us = $1 WHERE case_number = $2`, s.Now().UnixMicro(), caseNumber)
	if err != nil {
		return false, fmt.Errorf("asking for the key of case %s: %w", caseNumber, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func (s *Store) caseRecipient(ctx context.Context, caseNumber string) (string, error) {
	var r string
	err := s.DB.QueryRowContext(ctx, `SELECT recipient FROM keys_case WHERE case_number = $1`, caseNumber).Scan(&r)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("the key of case %s: %w", caseNumber, ErrNoKey)
	}
	if err != nil {
		return "", fmt.Errorf("reading the key of case %s: %w", caseNumber, err)
	}
	return r, nil
}

// CaseIdentity opens the key of a case.
func (s *Store) CaseIdentity(ctx context.Context, caseNumber string) (age.Identity, error) {
	var sealed []byte
	err := s.DB.QueryRowContext(ctx, `SELECT sealed FROM keys_case WHERE case_number = $1`, caseNumber).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("the key of case %s: %w", caseNumber, ErrNoKey)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of case %s: %w", caseNumber, err)
	}
	plain, err := s.Opener.Open(ctx, sealed)
	if err != nil {
		return nil, err
	}
	identity, err := age.ParseHybridIdentity(string(plain))
	if err != nil {
		return nil, fmt.Errorf("the key of case %s is damaged: restore the key store from its backup", caseNumber)
	}
	return identity, nil
}

// Cases lists the cases that have a key.
func (s *Store) Cases(ctx context.Context) ([]string, error) {
	return s.listCases(ctx, `SELECT case_number FROM keys_case ORDER BY case_number`)
}

// unaskedCases lists the cases whose key nobody has asked for since then.
func (s *Store) unaskedCases(ctx context.Context, since time.Time) ([]string, error) {
	return s.listCases(ctx, `SELECT case_number FROM keys_case WHERE asked_us < $1 AND minted_us < $1 ORDER BY case_number`, since.UnixMicro())
}

func (s *Store) listCases(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing case keys: %w", err)
	}
	defer rows.Close()
	var cases []string
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			return nil, err
		}
		cases = append(cases, c)
	}
	return cases, rows.Err()
}

// DestroyCase removes the key of a case for good, unless somebody has asked for it since then; destroyed is false if it was gone
// already, or stays.
func (s *Store) DestroyCase(ctx context.Context, caseNumber string, since time.Time) (destroyed bool, err error) {
	res, err := s.DB.ExecContext(ctx, `DELETE FROM keys_case WHERE case_number = $1 AND asked_us < $2`, caseNumber, since.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("destroying the key of case %s: %w", caseNumber, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
