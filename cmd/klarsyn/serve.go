package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"klarsyn/api"
	"klarsyn/camera"
	"klarsyn/camera/occupancy"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/identity"
	"klarsyn/policy/rules"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/keys"
	"klarsyn/retention/vault"
)

// freshSample is how old a count may be to be shown as the latest one.
const freshSample = 10 * time.Minute

// serve answers people and programs. It is the one process that can open footage, and it opens none
// without a Grant.
type serve struct {
	site     *site
	keyDB    *sql.DB
	vault    *vault.Vault
	gate     *policy.Gate
	accounts *identity.Accounts
	sessions *identity.Sessions
	server   *api.Server
}

func openServe(ctx context.Context, s *site, metrics *prometheus.Registry) (_ *serve, err error) {
	keyDB, err := openKeyStore(ctx, s.layout)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, keyDB.Close())
		}
	}()
	secret, err := keys.LoadSecret(s.layout.master())
	if err != nil {
		return nil, err
	}
	ruleset, err := rules.New()
	if err != nil {
		return nil, err
	}
	// Every decision names a revision of the rules: it is kept for as long as the log lives.
	if err := ruleset.Keep(ctx, s.db, s.clock.Logging()); err != nil {
		return nil, err
	}
	sv := &serve{site: s, keyDB: keyDB}
	if sv.gate, err = policy.NewGate(policy.GateConfig{Rules: ruleset, Log: s.log, Viewings: s.log, Now: s.clock.Logging, Logger: s.logger}); err != nil {
		return nil, err
	}
	if sv.accounts, err = s.accounts("service:serve"); err != nil {
		return nil, err
	}
	sv.sessions = identity.NewSessions(s.db, s.clock.Logging, s.logger)
	books := s.catalogue("service:serve")
	ring := &keys.Store{DB: keyDB, Opener: secret, Now: s.clock.Logging}
	sv.vault = &vault.Vault{Shelf: books, Keyring: ring, Store: s.store, Clock: s.clock}
	sv.server, err = api.New(api.Config{
		Cameras: s.cameraInfos(books), Clips: books, Deletions: books,
		Vault:     sv.vault,
		Occupancy: counts{&occupancy.Store{DB: s.db}, s.clock},
		Log:       logBook{s.log}, Accounts: door{sv.accounts}, Gate: sv.gate,
		Current: func(ctx context.Context, who policy.Subject, since time.Time) error {
			err := sv.accounts.Current(ctx, who, since)
			if errors.Is(err, identity.ErrRevoked) {
				return api.ErrRevoked
			}
			return err
		},
		Permit: func(id string, version int) (policy.Permit, bool) {
			ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			p, ok, err := books.Permit(ask, id, version)
			if err != nil {
				s.logger.Error("a permit could not be read: its clips stay closed", "err", err)
			}
			return p, ok && err == nil
		},
		Sessions: sv.sessions, Ready: sv.ready, Metrics: metricsHandler(metrics), Now: s.clock.Logging, Logger: s.logger,
	})
	return sv, err
}

// run serves l until ctx ends.
func (sv *serve) run(ctx context.Context, l net.Listener) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sv.gate.Run(gctx) })
	g.Go(func() error { return sv.accounts.Run(gctx) })
	g.Go(func() error { return sv.sessions.Run(gctx) })
	g.Go(func() error { return sv.server.Serve(gctx, l) })
	return errors.Join(g.Wait(), sv.keyDB.Close())
}

// ready asks what serving footage needs: the catalogue and the key store.
func (sv *serve) ready(ctx context.Context) error {
	if err := sv.site.db.PingContext(ctx); err != nil {
		return &api.NotReady{Part: "catalogue", Err: err}
	}
	if err := sv.keyDB.PingContext(ctx); err != nil {
		return &api.NotReady{Part: "keys", Err: err}
	}
	return nil
}

// cameraInfos is what the interface may tell of the cameras: no address, no credential.
func (s *site) cameraInfos(books *catalogue.Catalogue) []api.CameraInfo {
	var infos []api.CameraInfo
	for _, cam := range s.square.cameras {
		info := api.CameraInfo{ID: cam.ID, Name: cam.Name, MinCell: func(at time.Time) int { return s.square.minCell(cam.ID, at) }}
		for _, z := range cam.Profile.Zones {
			info.Zones = append(info.Zones, api.ZoneInfo{ID: z.ID, Name: z.Name})
		}
		info.State = func() api.RecorderState { return s.recorderState(books, cam.ID) }
		infos = append(infos, info)
	}
	return infos
}

// recorderState is what the catalogue tells of a camera: it holds for recorders in any process.
func (s *site) recorderState(books *catalogue.Catalogue, id camera.ID) api.RecorderState {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gap, open, err := books.OpenGap(ctx, id)
	if err != nil {
		s.logger.Error("a camera's state could not be read", "camera", string(id), "err", err)
		return api.RecorderState{Cause: camera.OurFault}
	}
	if open {
		return api.RecorderState{Cause: gap.Cause, Since: gap.From}
	}
	since, err := books.RecordingSince(ctx, id)
	if err != nil || since.IsZero() {
		return api.RecorderState{Cause: camera.CameraDown}
	}
	return api.RecorderState{Recording: true, Since: since}
}

// counts reads samples for the interface.
type counts struct {
	*occupancy.Store
	clock *retention.Clock
}

func (c counts) Latest(ctx context.Context) ([]camera.Sample, error) {
	return c.Store.Latest(ctx, c.clock.Logging().Add(-freshSample))
}

// door lets people in: it speaks the interface's errors.
type door struct{ accounts *identity.Accounts }

func (d door) Authenticate(ctx context.Context, name, password, remote string) (policy.Subject, error) {
	who, err := d.accounts.Authenticate(ctx, name, password, remote)
	var wait *identity.WaitError
	switch {
	case errors.Is(err, identity.ErrBadLogin):
		err = api.ErrWrongCredentials
	case errors.Is(err, identity.ErrBusy):
		err = &api.TooManyTries{After: time.Second}
	case errors.As(err, &wait):
		err = &api.TooManyTries{After: wait.For}
	}
	return who, err
}

// logBook reads and writes the audit log for the interface.
type logBook struct{ *audit.Log }

func (b logBook) Entries(ctx context.Context, q api.LogQuery) ([]api.LogEntry, error) {
	page := audit.Query{To: q.Before, Event: q.Event, Actor: q.Actor, Case: q.Case, Limit: q.Limit, Newest: true}
	numbered, err := b.Log.Entries(ctx, page)
	if err != nil {
		return nil, err
	}
	entries := make([]api.LogEntry, 0, len(numbered))
	for _, n := range numbered {
		entries = append(entries, api.LogEntry{Index: n.Seq, Entry: n.Entry})
	}
	return entries, nil
}

func (s *site) accounts(actor string) (*identity.Accounts, error) {
	return identity.NewAccounts(identity.Config{DB: s.db, Log: s.log, Actor: actor, Now: s.clock.Logging, Logger: s.logger})
}

func (s *site) disableAccount(ctx context.Context, actor, name string) error {
	accounts, err := s.accounts(actor)
	if err != nil {
		return err
	}
	return accounts.Disable(ctx, name)
}

// addAccount makes an account with a fresh random password and returns it.
func (s *site) addAccount(ctx context.Context, actor, name string, role policy.Role) (password string, err error) {
	accounts, err := s.accounts(actor)
	if err != nil {
		return "", err
	}
	password = identity.NewPassword()
	err = accounts.Create(ctx, name, role, password)
	if errors.Is(err, identity.ErrExists) {
		// The old password is not known to anybody any more: the account gets a new one.
		err = accounts.SetPassword(ctx, name, password)
	}
	if err != nil {
		return "", fmt.Errorf("account %s: %w", name, err)
	}
	return password, nil
}
