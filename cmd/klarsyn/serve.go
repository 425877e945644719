package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"klarsyn/api"
	"klarsyn/camera"
	"klarsyn/camera/occupancy"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
	"klarsyn/policy/identity"
	"klarsyn/policy/rules"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/keys"
	"klarsyn/retention/vault"
)

const (
	// freshSample is how old a count may be to be shown as the latest one.
	freshSample = 10 * time.Minute
	// silence is how long a recorder may show no life, beyond two of its clips, and still be said to record.
	silence = 30 * time.Second
	// recordTime is how long a server may take to log that it starts or stops.
	recordTime = 5 * time.Second
)

// serve answers people and programs. It is the one process that can open footage, and it opens none
// without a Grant.
type serve struct {
	site     *site
	keyDB    rows
	masters  *keys.Ring
	vault    *vault.Vault
	cutter   *vault.Cutter
	gate     *policy.Gate
	accounts *identity.Accounts
	sessions *identity.Sessions
	server   *api.Server
	probe    *probe
	rules    *rules.Rules
	reach    reach
}

// openServe opens what serves people on this machine, by plain HTTP.
func openServe(ctx context.Context, s *site, metrics *prometheus.Registry) (*serve, error) {
	return openServeFor(ctx, s, metrics, reach{})
}

func openServeFor(ctx context.Context, s *site, metrics *prometheus.Registry, how reach) (_ *serve, err error) {
	keyDB, err := openKeyStore(ctx, s.layout, s.addresses)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, keyDB.Close())
		}
	}()
	if err = checkKeyEpoch(ctx, s.layout, s.db, keyDB, false); err != nil {
		return nil, err
	}
	masters, err := s.masterKeys(ctx, mintsAndOpens)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			masters.Close()
		}
	}()
	ruleset, err := rulesFor(s.current.now())
	if err != nil {
		return nil, err
	}
	// Every decision names a revision of the rules: it is kept for as long as the log lives.
	if err := ruleset.Keep(ctx, s.db.DB, s.log, serveActor, s.clock.Logging()); err != nil {
		return nil, err
	}
	sv := &serve{site: s, keyDB: keyDB, masters: masters, reach: how, rules: ruleset}
	sv.probe = &probe{ask: sv.answers}
	if sv.gate, err = policy.NewGate(policy.GateConfig{Rules: ruleset, Log: s.log, Viewings: s.log, Now: s.clock.Logging, Logger: s.logger,
		Group: func(cam string) string { return s.current.now().group(cam) }}); err != nil {
		return nil, err
	}
	if sv.accounts, err = s.accounts(serveActor); err != nil {
		return nil, err
	}
	sv.sessions = identity.NewSessions(s.db.DB, s.clock.Logging, s.logger)
	books := s.catalogue(serveActor)
	ring := &keys.Store{DB: keyDB.DB, Sealer: masters, Opener: masters, Now: s.clock.Logging}
	sv.vault = &vault.Vault{Shelf: books, Keyring: ring, Store: s.store, Clock: s.clock}
	sv.cutter = sv.cutterOf(books, ring)
	sv.server, err = api.New(api.Config{
		Cameras: func() []api.CameraInfo { return s.cameraInfos(books) }, Square: squareDesk{s, books}, Clips: books, Deletions: books, Proofs: deletionProofs{s.log},
		Vault:   sv.vault,
		Custody: sv.custody(books, ring), Holds: books, HoldChanges: books,
		Occupancy: counts{&occupancy.Store{DB: s.db.DB}, s.clock},
		Log:       logBook{s.log}, Tiles: tiles{s.log, s.square.witnesses}, Accounts: door{sv.accounts}, Gate: sv.gate,
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
		Sessions: sv.sessions, TLS: how.encrypted(), Proxied: how.behindTLS, Proxies: how.proxies,
		Ready: sv.probe.ready, Metrics: metricsHandler(metrics), Now: s.clock.Logging, Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	sv.meter(meter{metrics})
	return sv, nil
}

// serveActor is who the log says serve is.
const serveActor = "service:serve"

// run serves l until ctx ends. People stop first: while the last responses end, the gate must still be
// there to note it, and the accounts to log who failed to get in. The key store is closed last.
func (sv *serve) run(ctx context.Context, l net.Listener) error {
	s := sv.site
	if err := sv.record(ctx, policy.ServiceStartedEntry(serveActor)); err != nil {
		return errors.Join(err, l.Close(), sv.closeKeys())
	}
	if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() && !sv.reach.encrypted() {
		s.logger.Warn("passwords and footage cross the network in the clear: listen on a loopback address, or use klarsyn serve with TLS", "listen", l.Addr().String())
	}
	back, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()
	behind, behindCtx := errgroup.WithContext(back)
	behind.Go(func() error { return sv.gate.Run(behindCtx) })
	behind.Go(func() error { return sv.accounts.Run(behindCtx) })
	behind.Go(func() error { return sv.sessions.Run(behindCtx) })
	behind.Go(func() error { return sv.followRules(behindCtx) })
	behind.Go(func() error { return sv.cutter.Run(behindCtx) })

	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	// None of them ends by itself; if one fails, nobody may go on looking at anything.
	defer context.AfterFunc(behindCtx, stopFront)()
	err := sv.server.Serve(front, sv.reach.listener(l))
	stopBack()
	err = errors.Join(err, behind.Wait())

	return errors.Join(err, sv.record(ctx, policy.ServiceStoppedEntry(serveActor)), sv.closeKeys())
}

// followRules puts the rules in force that belong to the groups of the square that holds.
func (sv *serve) followRules(ctx context.Context) error {
	s := sv.site
	inForce := rulesText(s.current.now()).Revision()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
		text := rulesText(s.current.now())
		if text.Revision() == inForce {
			continue
		}
		// Loaded and kept, or what was in force stays: a decision must name a revision that can be looked up.
		next, err := rulesFor(s.current.now())
		if err == nil {
			err = next.Keep(ctx, s.db.DB, s.log, serveActor, s.clock.Logging())
		}
		if err == nil {
			err = sv.rules.Load(text)
		}
		if err != nil {
			if ctx.Err() == nil {
				s.logger.Error("the rules of the groups that were applied are not in force", "err", err)
			}
			continue
		}
		inForce = text.Revision()
	}
}

// closeKeys gives the key store and the key server back.
func (sv *serve) closeKeys() error {
	sv.masters.Close()
	return sv.keyDB.Close()
}

// record logs that serve starts or stops, also when it was told to stop meanwhile.
func (sv *serve) record(ctx context.Context, e policy.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	return sv.site.log.Record(ctx, e)
}

// cameraInfos is what the interface may tell of the cameras that there are now: no address, no credential.
func (s *site) cameraInfos(books *catalogue.Catalogue) []api.CameraInfo {
	var infos []api.CameraInfo
	for _, cc := range s.current.now().Cameras {
		id := camera.ID(cc.ID)
		info := api.CameraInfo{ID: id, Name: cc.Name, MinCell: func(at time.Time) int { return s.current.now().minCell(id, at) }}
		if info.Name == "" {
			info.Name = cc.ID
		}
		for _, z := range cc.Zones {
			info.Zones = append(info.Zones, api.ZoneInfo{ID: z.ID, Name: z.Name})
		}
		info.State = func() api.RecorderState { return s.recorderState(books, id) }
		infos = append(infos, info)
	}
	return infos
}

// recorderState is what the catalogue tells of a camera: it holds for recorders in any process. One that
// died writes no gap; it is told by its silence, and then nobody knows.
func (s *site) recorderState(books *catalogue.Catalogue, id camera.ID) api.RecorderState {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gap, open, err := books.OpenGap(ctx, id)
	if err == nil && open {
		return api.RecorderState{Cause: gap.Cause, Since: gap.From}
	}
	var since time.Time
	if err == nil {
		since, err = books.RecordingSince(ctx, id, s.clock.Reading().Add(-silence-2*s.square.clip))
	}
	if err != nil {
		s.logger.Error("a camera's state could not be read", "camera", string(id), "err", err)
	}
	return api.RecorderState{Recording: !since.IsZero(), Since: since}
}

// counts reads samples for the interface.
type counts struct {
	*occupancy.Store
	clock *retention.Clock
}

func (c counts) Latest(ctx context.Context) ([]camera.Sample, error) {
	return c.Store.Latest(ctx, c.clock.Receiving().Add(-freshSample))
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
	page := audit.Query{
		To: q.Before, Events: q.Events, Actor: q.Actor, Object: q.Object, Case: q.Case, Since: q.Since, Until: q.Until, Limit: q.Limit, Newest: true,
	}
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

// tiles shows the log to those who check it, and takes what witnesses say.
type tiles struct {
	log       *audit.Log
	witnesses []*verify.Witness
}

func (t tiles) File(ctx context.Context, name string) ([]byte, error) { return t.log.File(ctx, name) }

func (t tiles) Cosign(ctx context.Context, note string) error {
	err := t.log.Cosign(ctx, note, t.witnesses)
	switch {
	case errors.Is(err, audit.ErrUnknownWitness):
		return api.ErrUnknownWitness
	case errors.Is(err, audit.ErrOtherCheckpoint):
		return api.ErrOtherCheckpoint
	}
	return err
}

// State is what the newest checkpoint says, and the newest word of each witness that the configuration names.
func (t tiles) State(ctx context.Context) (api.LogState, error) {
	signed, err := t.log.File(ctx, leaf.Newest)
	if errors.Is(err, fs.ErrNotExist) {
		return api.LogState{}, nil
	}
	if err != nil {
		return api.LogState{}, err
	}
	c, err := verify.TextOf(string(signed))
	if err != nil {
		return api.LogState{}, err
	}
	state := api.LogState{Name: c.Origin, Entries: c.Size, Root: c.Root.String(), Signed: c.Time}
	newest, err := t.log.Cosigned(ctx)
	for _, w := range t.witnesses {
		said := api.WitnessState{Name: w.Name()}
		for _, one := range newest {
			if one.Witness == w.Name() {
				said.Entries, said.Seen = one.Size, one.Time
			}
		}
		state.Witnesses = append(state.Witnesses, said)
	}
	return state, err
}
