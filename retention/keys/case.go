package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"filippo.io/age"
)

// MintCase makes the key of a case unless it exists, and returns its public recipient. minted is false if it existed.
func (s *Store) MintCase(ctx context.Context, caseNumber string) (recipient string, minted bool, err error) {
	recipient, err = s.caseRecipient(ctx, caseNumber)
	if !errors.Is(err, ErrNoKey) {
		return recipient, false, err
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return "", false, fmt.Errorf("minting a case key: %w", err)
	}
	sealed, err := s.Sealer.Seal(ctx, []byte(identity.String()))
	if err != nil {
		return "", false, err
	}
	res, err := s.DB.ExecContext(ctx,
		`INSERT INTO keys_case (case_number, recipient, sealed, minted_us) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		caseNumber, identity.Recipient().String(), sealed, s.Now().UnixMicro())
	if err != nil {
		return "", false, fmt.Errorf("storing the key of case %s: %w", caseNumber, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return "", false, err
	}
	// Another minter may have been faster: then its key counts.
	recipient, err = s.caseRecipient(ctx, caseNumber)
	return recipient, n == 1, err
}

func (s *Store) caseRecipient(ctx context.Context, caseNumber string) (string, error) {
	var r string
	err := s.DB.QueryRowContext(ctx, `SELECT recipient FROM keys_case WHERE case_number = $1`, caseNumber).Scan(&r)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNoKey
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
		return nil, ErrNoKey
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
	rows, err := s.DB.QueryContext(ctx, `SELECT case_number FROM keys_case ORDER BY case_number`)
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

// DestroyCase removes the key of a case for good; destroyed is false if it was gone already.
func (s *Store) DestroyCase(ctx context.Context, caseNumber string) (destroyed bool, err error) {
	res, err := s.DB.ExecContext(ctx, `DELETE FROM keys_case WHERE case_number = $1`, caseNumber)
	if err != nil {
		return false, fmt.Errorf("destroying the key of case %s: %w", caseNumber, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
