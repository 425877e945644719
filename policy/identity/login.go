package identity

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"klarsyn/policy"
)

// Authenticate checks a password and logs the login. It fails with ErrBadLogin, with *WaitError when
// too many logins failed, and whenever the log cannot be written. remote is the client's address
// without port.
func (a *Accounts) Authenticate(ctx context.Context, name, password, remote string) (policy.Subject, error) {
	now := a.cfg.Now()
	if len(name) > 63 || len(password) > 4*maxPassword {
		name, password = "", "" // work with it as with any other wrong login, without carrying it around
	}
	found, known, err := a.find(ctx, name)
	if err != nil {
		return policy.Subject{}, err
	}
	actor := policy.UnknownActor
	if known {
		actor = name
	}
	try, wait := a.throttle.try(name, policy.NetworkOf(remote), now)
	if wait > 0 {
		if err := a.failed(ctx, "throttled login", actor, remote, "throttled"); err != nil {
			return policy.Subject{}, err
		}
		return policy.Subject{}, &WaitError{For: wait}
	}
	hash := a.decoy
	if known {
		hash = found.hash
	}
	right, err := a.hasher.matches(ctx, password, hash)
	if err != nil {
		try.undo() // nothing was guessed
		return policy.Subject{}, fmt.Errorf("log in: %w", err)
	}
	if !right || !known || found.disabled {
		reason := "wrong password"
		switch {
		case !known:
			reason = "unknown account"
		case found.disabled:
			reason = "disabled account"
		}
		if err := a.failed(ctx, "login", actor, remote, reason); err != nil {
			return policy.Subject{}, err
		}
		return policy.Subject{}, ErrBadLogin
	}
	subject := policy.Subject{Name: name, Role: found.role, Session: newHandle(), Remote: remote}
	err = a.cfg.Log.Record(ctx, policy.LoggedInEntry(subject))
	if err != nil {
		try.undo()
		return policy.Subject{}, fmt.Errorf("log in: %w", err)
	}
	try.succeeded(now)
	return subject, nil
}

// failed logs a failure or counts it. kind is no finer than what the answer tells: with the account or
// the reason in it, the time that the answer takes would tell whether the account exists.
func (a *Accounts) failed(ctx context.Context, kind, actor, remote, reason string) error {
	err := a.failures.Record(ctx, kind, policy.LoginFailedEntry(policy.Subject{Name: actor, Remote: remote}, reason))
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// Run logs the failures that were counted, until ctx ends.
func (a *Accounts) Run(ctx context.Context) error {
	if err := a.failures.Run(ctx, a.cfg.Logger); err != nil {
		return fmt.Errorf("failed logins were not logged: %w", err)
	}
	return nil
}

// newHandle names a session in the log. It is not the cookie and opens nothing.
func newHandle() string {
	var random [8]byte
	rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

// patience is how many failures of each kind of key are free, and how long the wait can grow. That of the
// name alone is short, so that a stranger who guesses from everywhere cannot lock its owner out for long.
func patience(name, from string) (pair, address, account limit) {
	return limit{key: "pair " + name + " " + from, free: 4, longest: 5 * time.Minute},
		limit{key: "address " + from, free: 20, longest: 5 * time.Minute},
		limit{key: "account " + name, free: 20, longest: 30 * time.Second}
}
