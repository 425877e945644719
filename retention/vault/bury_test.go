package vault_test

import (
	"time"

	"klarsyn/retention"
)

// bury takes charge of a claimed clip and writes its tombstone, as a sweeper does that found nothing left.
func (s *site) bury(c retention.Clip) error {
	charges, err := s.books.TakeCharge(s.t.Context(), retention.Lease{Sweeper: "test", For: time.Minute}, "", 1000)
	if err != nil {
		return err
	}
	for _, ch := range charges {
		if ch.ID == c.ID {
			_, err = s.books.Bury(s.t.Context(), []retention.Tombstone{{Charge: ch, At: s.Reading(), Removed: 1}})
			return err
		}
	}
	return retention.ErrNotFound
}
