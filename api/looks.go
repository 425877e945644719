package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
)

// remember keeps what was stated for a look, so that the player's requests need not carry a case number
// in their address, where histories and proxies would keep it. It lies in the session store beside the
// session and not in it: requests of one session run at the same time, and one that read the session
// before would write it back without the look. Nobody finds it without the session's token, and it expires
// with the session's longest life.
func (s *Server) remember(ctx context.Context, clip string, st statement) error {
	key, value, expiry := s.lookKey(ctx, clip), []byte(st.purpose+"\n"+st.caseNo), time.Now().Add(sessionLifetime)
	if store, ok := s.cfg.Sessions.(scs.CtxStore); ok {
		return unavailable("sessions", store.CommitCtx(ctx, key, value, expiry))
	}
	return unavailable("sessions", s.cfg.Sessions.Commit(key, value, expiry))
}

// remembered is what this session stated for the clip; empty if nothing.
func (s *Server) remembered(ctx context.Context, clip string) (statement, error) {
	var value []byte
	var err error
	if store, ok := s.cfg.Sessions.(scs.CtxStore); ok {
		value, _, err = store.FindCtx(ctx, s.lookKey(ctx, clip))
	} else {
		value, _, err = s.cfg.Sessions.Find(s.lookKey(ctx, clip))
	}
	if err != nil {
		return statement{}, unavailable("sessions", err)
	}
	purpose, caseNo, _ := strings.Cut(string(value), "\n")
	return statement{purpose: purpose, caseNo: caseNo}, nil
}

func (s *Server) lookKey(ctx context.Context, clip string) string {
	sum := sha256.Sum256([]byte("look\x00" + s.sessions.Token(ctx) + "\x00" + clip))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
