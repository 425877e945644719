package api

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/retention"
)

// The world of the tests: a square with two cameras of which one, k9, nobody may search; the real gate
// over rules in memory; fakes that refuse what their real counterparts must never be asked.

var testNow = time.Date(2026, 11, 23, 13, 3, 20, 0, time.UTC)

const (
	whole, pending, lost, partial  = "01JD000000000000000000000A", "01JD000000000000000000000B", "01JD000000000000000000000C", "01JD000000000000000000000D"
	overdue, shredding, tombstone  = "01JD000000000000000000000E", "01JD000000000000000000000F", "01JD000000000000000000000G"
	damaged, unreachable, hidden   = "01JD000000000000000000000H", "01JD000000000000000000000J", "01JD000000000000000000000K"
	torn, short, missing, orphaned = "01JD000000000000000000000M", "01JD000000000000000000000N", "01JD000000000000000000000Z", "01JD000000000000000000000P"
)

type world struct {
	t        *testing.T
	cfg      Config
	square   *memorySquare
	server   *Server
	web      *httptest.Server
	logs     bytes.Buffer
	mu       sync.Mutex
	entries  []policy.Entry
	logDown  bool
	gateDown bool
	dbDown   bool
	ready    error
	viewings map[string]policy.Viewing
	served   map[string]int64
	seconds  float64
	samples  []camera.Sample
	footage  []byte
	opened   int // footage not closed
	tries    int
	logins   int
	changed  time.Time // of all accounts

	proofPending bool
	held         map[string]retention.Hold
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, square: newMemorySquare(t), viewings: map[string]policy.Viewing{}, served: map[string]int64{}}
	w.footage = bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16*4)
	gate, err := policy.NewGate(policy.GateConfig{
		Rules: w, Log: gateLog{w: w}, Viewings: gateViewings{w}, Now: func() time.Time { return testNow },
		Group: func(c string) string {
			if c == "k9" {
				return "hidden"
			}
			return policy.DefaultGroup
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = Config{
		Cameras: func() []CameraInfo {
			return []CameraInfo{
				{ID: "k1", Name: "Plattan väst", Zones: []ZoneInfo{{"trappan", "Trappan"}, {"plattan", "Plattan"}, {"entren", "T-baneentrén"}},
					State: func() RecorderState { return RecorderState{Recording: true, Since: testNow.Add(-time.Hour)} }},
				{ID: "k9", Name: "Dold", Zones: []ZoneInfo{{"z", "Z"}}},
			}
		},
		Square: w.square, Clips: w, Deletions: w, Proofs: w, Vault: w, Custody: w, Holds: w, HoldChanges: w, Occupancy: w, Log: w, Tiles: w, Accounts: w, Gate: gate,
		Permit: func(id string, v int) (policy.Permit, bool) {
			return policy.Permit{ID: id, Version: v, Purposes: []string{policy.CrimeInvestigation, policy.AccidentInquiry}}, id == "plattan"
		},
		Current:  w.Current,
		Sessions: &memorySessions{m: map[string]savedSession{}},
		Ready:    func(context.Context) error { return w.ready },
		Metrics:  http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "klarsyn_clips 1\n") }),
		Now:      func() time.Time { return testNow },
		Logger:   slog.New(slog.NewTextHandler(&lockedWriter{w: &w.logs, mu: &w.mu}, nil)),
	}
	w.samples = []camera.Sample{
		{Camera: "k1", Zone: "plattan", Time: testNow.Add(-time.Second), Present: 118.4, Moving: 40.2, Low: 104, High: 131, Quality: camera.QualityOK},
		{Camera: "k1", Zone: "trappan", Time: testNow.Add(-time.Second), Present: 3.2, Moving: 1, Low: 2, High: 5, Quality: camera.QualityOK},
		{Camera: "k1", Zone: "entren", Time: testNow.Add(-3 * time.Minute), Quality: camera.QualityUnknown},
	}
	w.start()
	return w
}

// start serves the configuration as it is now.
func (w *world) start() {
	w.t.Helper()
	server, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = server
	w.web = httptest.NewServer(server)
	w.web.Config.ErrorLog = newErrorLog(nil)
	w.t.Cleanup(w.web.Close)
}

func (w *world) clipRows() []retention.Clip {
	row := func(id, cam string, st retention.State) retention.Clip {
		c := retention.Clip{ID: id, Camera: camera.ID(cam), Permit: "plattan", PermitVersion: 1,
			Start: testNow.Add(-time.Minute), End: testNow.Add(-30 * time.Second), Deadline: testNow.Add(92 * time.Second),
			State: st, PlainSize: int64(len(w.footage)), Frames: 300, Codec: camera.H264, ObjectKey: "clips/secret-key"}
		switch st {
		case retention.Pending:
			c.End, c.PlainSize = time.Time{}, 0
		case retention.Deleted, retention.Deleting:
			c.Deadline = testNow.Add(-time.Second)
		}
		return c
	}
	late := row(overdue, "k1", retention.Committed)
	late.Deadline = testNow
	strange := row(orphaned, "k1", retention.Committed)
	strange.Permit = "forgotten"
	return []retention.Clip{row(whole, "k1", retention.Committed), row(pending, "k1", retention.Pending), row(lost, "k1", retention.Lost),
		row(partial, "k1", retention.Partial), late, row(shredding, "k1", retention.Deleting), row(tombstone, "k1", retention.Deleted),
		row(damaged, "k1", retention.Committed), row(unreachable, "k1", retention.Committed), row(hidden, "k9", retention.Committed),
		row(torn, "k1", retention.Committed), row(short, "k1", retention.Committed), strange}
}

var errDown = errors.New("connection refused to 10.0.0.7:5432")

func (w *world) Search(_ context.Context, cam camera.ID, from, to time.Time, limit int, after string) ([]retention.Clip, error) {
	if w.dbDown {
		return nil, errDown
	}
	var found []retention.Clip
	for _, c := range w.clipRows() {
		if c.Camera == cam && c.ID > after && c.Start.Before(to) && (c.End.IsZero() || c.End.After(from)) && len(found) < limit {
			found = append(found, c)
		}
	}
	return found, nil
}

func (w *world) Clip(_ context.Context, id string) (retention.Clip, error) {
	if w.dbDown {
		return retention.Clip{}, errDown
	}
	for _, c := range w.clipRows() {
		if c.ID == id {
			for _, h := range w.held {
				if slices.ContainsFunc(h.Clips, func(part retention.HeldClip) bool { return part.Clip == id }) {
					c.Holds++
				}
			}
			return c, nil
		}
	}
	return retention.Clip{}, fmt.Errorf("clip %s: %w", id, retention.ErrNotFound)
}

func (w *world) Deletions(_ context.Context, _ camera.ID, _, _ time.Time, limit int, _ string) ([]retention.Proof, error) {
	if w.dbDown {
		return nil, errDown
	}
	p := retention.Proof{Clip: tombstone, Camera: "k1", Permit: "plattan", PermitVersion: 1, From: testNow.Add(-3 * time.Minute), To: testNow.Add(-2 * time.Minute),
		Deadline: testNow.Add(-time.Minute), ShreddedAt: testNow.Add(-59 * time.Second), DeletedAt: testNow.Add(-58 * time.Second), Versions: 1}
	return slices.Repeat([]retention.Proof{p}, min(limit, 3)), nil
}

// ProveDeletion proves what it is asked for: what a proof holds is the log's business.
func (w *world) ProveDeletion(_ context.Context, clip string) ([]byte, error) {
	if w.proofPending {
		return nil, ErrProofPending
	}
	if w.dbDown {
		return nil, errDown
	}
	return []byte(`{"proof of": "` + clip + `"}`), nil
}

// Open is the vault: it believes nothing but the grant.
func (w *world) Open(_ context.Context, g policy.Grant, clip string) (retention.Footage, error) {
	row, err := w.Clip(context.Background(), clip)
	if err != nil {
		return nil, err
	}
	if !g.Opens(clip, string(row.Camera), testNow) {
		return nil, retention.ErrNoGrant
	}
	if !row.Readable() || !testNow.Before(row.Deadline) {
		w.t.Errorf("the vault was asked for clip %s, which is %s", clip, row.State)
	}
	if clip == unreachable {
		return nil, fmt.Errorf("object store 10.0.0.8: %w", retention.ErrUnavailable)
	}
	w.mu.Lock()
	w.opened++
	w.mu.Unlock()
	return &fakeFootage{Reader: bytes.NewReader(w.footage), w: w, row: row}, nil
}

type fakeFootage struct {
	*bytes.Reader
	w   *world
	row retention.Clip
}

func (f *fakeFootage) Clip() retention.Clip { return f.row }

func (f *fakeFootage) Read(b []byte) (int, error) {
	at := f.Size() - int64(f.Len())
	switch {
	case f.row.ID == damaged, f.row.ID == torn && at >= f.Size()/2:
		return 0, retention.ErrDamaged
	case f.row.ID == short && at >= f.Size()/2:
		return 0, io.EOF
	}
	return f.Reader.Read(b)
}

func (f *fakeFootage) Close() error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.opened--
	return nil
}

func (w *world) Samples(_ context.Context, cam camera.ID, zone string, _, _ time.Time, limit int) ([]camera.Sample, error) {
	var found []camera.Sample
	for _, s := range w.samples {
		if s.Camera == cam && (zone == "" || s.Zone == zone) && len(found) < limit {
			found = append(found, s)
		}
	}
	return found, nil
}

func (w *world) Latest(context.Context) ([]camera.Sample, error) { return w.samples, nil }

func (w *world) Entries(_ context.Context, q LogQuery) ([]LogEntry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []LogEntry
	for i, e := range slices.Backward(w.entries) {
		if (q.Before == 0 || int64(i) < q.Before) && len(found) < q.Limit && (len(q.Events) == 0 || slices.Contains(q.Events, e.Event)) &&
			(q.Actor == "" || q.Actor == e.Actor) && (q.Object == "" || q.Object == e.Object) && (q.Case == "" || q.Case == e.Case) &&
			!e.Time.Before(q.Since) && (q.Until.IsZero() || e.Time.Before(q.Until)) {
			found = append(found, LogEntry{Index: int64(i), Entry: e})
		}
	}
	return found, nil
}

func (w *world) Record(_ context.Context, e policy.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.logDown {
		return errDown
	}
	if err := e.Validate(); err != nil {
		w.t.Error(err)
		return err
	}
	e.Time = testNow
	w.entries = append(w.entries, e)
	return nil
}

// logged counts the entries of an event.
func (w *world) logged(event policy.Event) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.entries {
		if e.Event == event {
			n++
		}
	}
	return n
}

// Accounts are named by their role; the password is "pw".
func (w *world) Authenticate(_ context.Context, name, password, remote string) (policy.Subject, error) {
	if remote != "127.0.0.1" {
		w.t.Errorf("login from %q: want the address of the connection", remote)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.logDown {
		return policy.Subject{}, policy.ErrLogUnavailable
	}
	if w.tries++; w.tries > 20 {
		return policy.Subject{}, &TooManyTries{After: 1500 * time.Millisecond}
	}
	if password != "pw" || !slices.Contains(policy.Roles(), policy.Role(name)) {
		return policy.Subject{}, ErrWrongCredentials
	}
	w.logins++
	return policy.Subject{Name: name, Role: policy.Role(name), Session: fmt.Sprintf("s-%s-%d", name, w.logins)}, nil
}

func (w *world) Current(_ context.Context, s policy.Subject, since time.Time) error {
	if w.dbDown {
		return errDown
	}
	if since.Before(w.changed) {
		return fmt.Errorf("session of %s: %w", s.Name, ErrRevoked)
	}
	return nil
}

// Allow holds the rules of the first version.
func (w *world) Allow(role policy.Role, a policy.Action, group, _ string) (policy.Verdict, error) {
	if w.gateDown {
		return policy.Verdict{}, errDown
	}
	v := policy.Verdict{Rule: string(role) + "." + string(a), Revision: "r1"}
	if group == "hidden" {
		return policy.Verdict{Revision: "r1"}, nil
	}
	may := map[policy.Role][]policy.Action{
		policy.Investigator:    {policy.SearchClips, policy.ViewOriginal, policy.ReadOccupancy, policy.ReadCameraList},
		policy.DashboardViewer: {policy.ReadOccupancy, policy.ReadCameraList},
		policy.Auditor:         {policy.SearchClips, policy.ReadOccupancy, policy.ReadLog, policy.ReadDeletions, policy.ReadCameraList, policy.ReadPermits, policy.ReadHolds},
		policy.Operator:        {policy.ReadOccupancy, policy.ReadCameraList, policy.ReadPermits, policy.AdministerCameras},
		policy.ComplianceOfficer: {policy.SearchClips, policy.ReadOccupancy, policy.ReadDeletions, policy.ReadCameraList, policy.ReadPermits,
			policy.AdministerPermits, policy.ReadHolds},
		policy.InvestigationLead: {policy.SearchClips, policy.ReadOccupancy, policy.ReadCameraList, policy.ReadHolds, policy.PlaceHolds},
	}
	v.Allowed = slices.Contains(may[role], a)
	return v, nil
}

type gateLog struct{ w *world }

func (g gateLog) Append(ctx context.Context, _ *sql.Tx, e policy.Entry) error {
	return g.w.Record(ctx, e)
}

func (g gateLog) Record(ctx context.Context, e policy.Entry) error { return g.w.Record(ctx, e) }

type memorySessions struct {
	mu     sync.Mutex
	m      map[string]savedSession
	down   bool
	before func() // runs once, when a session is about to be written
}

type savedSession struct {
	b       []byte
	expires time.Time
}

var _ scs.Store = (*memorySessions)(nil)

func (m *memorySessions) Find(token string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, false, errDown
	}
	s, ok := m.m[token]
	return s.b, ok && time.Now().Before(s.expires), nil
}

func (m *memorySessions) Commit(token string, b []byte, expires time.Time) error {
	m.mu.Lock()
	before := m.before
	m.before = nil
	m.mu.Unlock()
	if before != nil {
		before()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[token] = savedSession{b, expires}
	return nil
}

func (m *memorySessions) Delete(token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.m, token)
	return nil
}

type lockedWriter struct {
	w  io.Writer
	mu *sync.Mutex
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// browser is one client with its cookies.
type browser struct {
	w      *world
	cookie string
}

// as logs in; the empty role stays a stranger.
func (w *world) as(role policy.Role) *browser {
	w.t.Helper()
	b := &browser{w: w}
	if role == "" {
		return b
	}
	res := b.do("POST", "/api/v1/login", fmt.Sprintf(`{"user":%q,"password":"pw"}`, role), "Content-Type", "application/json")
	if res.status != 200 {
		w.t.Fatalf("login as %s: %d %s", role, res.status, res.body)
	}
	return b
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

func (a answer) problem(t *testing.T) Problem {
	t.Helper()
	var p Problem
	if ct := a.header.Get("Content-Type"); ct != problemMedia {
		t.Fatalf("status %d with Content-Type %q and body %q: want %s", a.status, ct, a.body, problemMedia)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != a.status || p.Title == "" || !strings.HasPrefix(p.Type, problemType) {
		t.Fatalf("problem %+v of a %d", p, a.status)
	}
	return p
}

func (b *browser) get(path string, header ...string) answer { return b.do("GET", path, "", header...) }

func (b *browser) do(method, path, body string, header ...string) answer {
	b.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.w.web.URL+path, strings.NewReader(body))
	if err != nil {
		b.w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if b.cookie != "" {
		req.Header.Set("Cookie", b.cookie)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "klarsyn" {
			b.cookie = c.Name + "=" + c.Value
		}
	}
	a := answer{status: res.StatusCode, header: res.Header}
	a.body, a.err = io.ReadAll(res.Body)
	return a
}

// gateViewings keeps viewings as policy/audit does: the entry first, then the viewing.
type gateViewings struct{ w *world }

func (g gateViewings) Open(ctx context.Context, v policy.Viewing, opened policy.Entry) (policy.Viewing, error) {
	g.w.mu.Lock()
	if g.w.logDown {
		g.w.mu.Unlock()
		return v, errDown
	}
	for _, old := range g.w.viewings {
		if old.Clip == v.Clip && old.Subject.Session == v.Subject.Session && old.Purpose == v.Purpose && old.Case == v.Case {
			g.w.mu.Unlock()
			return old, nil
		}
	}
	g.w.mu.Unlock()
	if err := g.w.Record(ctx, opened); err != nil {
		return v, err
	}
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	g.w.viewings[v.ID] = v
	return v, nil
}

func (g gateViewings) Respond(_ context.Context, viewing string, _ time.Time) (string, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if g.w.logDown {
		return "", errDown
	}
	if _, ok := g.w.viewings[viewing]; !ok {
		return "", policy.ErrViewingClosed
	}
	id := fmt.Sprintf("%s-%d", viewing, len(g.w.served))
	g.w.served[id] = -1
	return id, nil
}

func (g gateViewings) Served(_ context.Context, response string, _ time.Time, n int64, seconds float64) error {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if g.w.logDown {
		return errDown
	}
	g.w.served[response] = n
	g.w.seconds += seconds
	return nil
}

func (g gateViewings) Active(context.Context, []string, time.Time) error { return nil }

func (g gateViewings) Stale(context.Context, time.Time) ([]policy.Viewing, error) { return nil, nil }

func (g gateViewings) Close(context.Context, string, time.Time, time.Time, func(policy.Viewing, policy.Totals) policy.Entry) (bool, error) {
	return false, nil
}

// File is a log of one tile.
func (w *world) File(_ context.Context, name string) ([]byte, error) {
	switch name {
	case "checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1":
		return []byte(name), nil
	}
	return nil, fs.ErrNotExist
}

// Cosign knows one witness and one checkpoint.
func (w *world) Cosign(_ context.Context, note string) error {
	switch note {
	case "known":
		return nil
	case "stranger":
		return ErrUnknownWitness
	}
	return ErrOtherCheckpoint
}

// State is a log that one witness has seen.
func (w *world) State(context.Context) (LogState, error) {
	return LogState{Name: "klarsyn/test", Entries: 7, Root: "cm9vdA==", Signed: testNow, Witnesses: []WitnessState{
		{Name: "witness.example/w1", Entries: 6, Seen: testNow.Add(-time.Minute)}, {Name: "witness.example/w2"},
	}}, nil
}

// cameraAddress is nobody's business who does not administer cameras or permits.
const cameraAddress = "rtsp://192.0.2.4:554/stream"

// memorySquare is what holds of the square. A description of it is a line for each thing that changes, such as
// "permit plattan@3 activated"; "nothing" changes nothing, and what it does not understand is a fault.
type memorySquare struct {
	mu        sync.Mutex
	versions  []policy.Version
	stretches []Stretch
	applied   []string   // what was put in force
	tried     []string   // what was tried and taken back
	asked     [][]string // the kinds of things that the caller was asked about
	failure   error      // of the catalogue
	from, to  time.Time  // of the timeline that was asked for last
}

func newMemorySquare(t *testing.T) *memorySquare {
	t.Helper()
	keep, err := policy.ParsePeriod("P1M")
	if err != nil {
		t.Fatal(err)
	}
	begins := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first := policy.Permit{
		ID: "plattan", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, Controller: "Exempelstads kommun",
		Assessment: &policy.Document{Date: "2025-12-01", Diary: "KS 2025/17"}, Place: &policy.Place{Address: "Sergels torg 1", Type: "torg"},
		Cameras: []string{"k1", "k9"}, ValidFrom: begins, Retention: keep, Purposes: []string{policy.CrimeInvestigation, policy.AccidentInquiry}, MinCell: 5,
	}
	second := first
	second.Version, second.MinCell = 2, 10
	change := begins.AddDate(0, 6, 0)
	return &memorySquare{
		versions: []policy.Version{
			{Permit: first, Steps: []policy.Step{{State: policy.Active, At: begins, Actor: "vera"}, {State: policy.Superseded, At: change, Actor: "vera"}}},
			{Permit: second, Steps: []policy.Step{{State: policy.Active, At: change, Actor: "vera"}}},
		},
		stretches: []Stretch{
			{From: testNow.Add(-time.Hour), To: testNow.Add(-time.Minute), Cause: policy.CauseRecorded, Permit: "plattan@2", Clip: whole},
			{From: testNow.Add(-time.Minute), To: testNow, Cause: policy.CauseNotPermitted, Permit: "plattan@2", Clause: policy.ClauseSchedule},
		},
	}
}

func (m *memorySquare) Apply(_ context.Context, _ policy.Subject, text []byte, try bool, may func([]string) error) (Plan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	base := int64(len(m.applied))
	p := Plan{Base: base, Revision: base}
	var wrong []error
	var kinds []string
	for i, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || line == "nothing" {
			continue
		}
		if len(words) != 3 || !slices.Contains([]string{"camera", "group", "user", "permit", "witness"}, words[0]) {
			wrong = append(wrong, fmt.Errorf("description:%d:1: %q: want a kind, an id and what changes", i+1, line))
			continue
		}
		c := PlannedChange{What: words[0], ID: words[1], Change: words[2]}
		if c.What == "camera" {
			c.Details = []string{"url: rtsp://192.0.2.5:554/stream, before " + cameraAddress}
		}
		p.Changes = append(p.Changes, c)
		if !slices.Contains(kinds, c.What) {
			kinds = append(kinds, c.What)
		}
	}
	if len(wrong) > 0 {
		return Plan{}, &BadDescription{errors.Join(wrong...)}
	}
	m.asked = append(m.asked, kinds)
	if err := may(kinds); err != nil {
		return Plan{}, err
	}
	if m.failure != nil {
		return p, m.failure
	}
	if len(p.Changes) == 0 {
		return p, nil
	}
	if try {
		m.tried = append(m.tried, string(text))
		return p, nil
	}
	m.applied = append(m.applied, string(text))
	p.Applied, p.Revision = true, base+1
	return p, nil
}

// untouched reports that nothing was applied, and nothing was tried.
func (m *memorySquare) untouched() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.applied) == 0 && len(m.tried) == 0
}

func (m *memorySquare) Document(context.Context) ([]byte, error) {
	return []byte("cameras:\n- id: k1\n  url: " + cameraAddress + "\n"), m.failure
}

func (m *memorySquare) Permits(context.Context) ([]policy.Version, error) {
	return m.versions, m.failure
}

func (m *memorySquare) Explain(_ context.Context, cam string, at time.Time) (policy.Answer, error) {
	set, err := policy.PermitsOf(m.versions)
	return set.Decide(cam, at), errors.Join(err, m.failure)
}

func (m *memorySquare) Timeline(_ context.Context, cam camera.ID, from, to time.Time) ([]Stretch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cam != "k1" {
		return nil, fmt.Errorf("camera %s was asked for", cam)
	}
	m.from, m.to = from, to
	return m.stretches, m.failure
}
