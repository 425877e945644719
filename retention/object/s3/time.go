package s3

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Time is the server's clock, to the second: the Date of an answer, whatever it answers. Nothing is signed, so that a clock that
// is wrong by hours, with which no request is taken, can still be found out.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.core.EndpointURL().String(), nil)
	if err != nil {
		return time.Time{}, s.fault("asking for the time", "", err)
	}
	res, err := s.transport.RoundTrip(req)
	if err != nil {
		return time.Time{}, s.fault("asking for the time", "", err)
	}
	if err := res.Body.Close(); err != nil {
		return time.Time{}, s.fault("asking for the time", "", err)
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("object store %s: its answer tells no time: %w", s.name, err)
	}
	return at.Add(500 * time.Millisecond).UTC(), nil // on average
}
