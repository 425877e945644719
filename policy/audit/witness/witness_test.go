package witness_test

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/audittest"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
	"klarsyn/policy/audit/witness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server serves a log as klarsyn serve does.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	files   audittest.Memory
	said    []string // cosignatures that came
	receive func(body string) int
	fail    bool
}

func serve(t *testing.T, l *audittest.Log) *server {
	t.Helper()
	s := &server{}
	s.show(l)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) show(l *audittest.Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = maps.Clone(l.Export())
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/log/")
	switch content, ok := s.files[name]; {
	case s.fail:
		w.WriteHeader(http.StatusBadGateway)
	case r.Method == http.MethodPost && name == "cosignatures":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.said = append(s.said, string(body))
		status := http.StatusNoContent
		if s.receive != nil {
			status = s.receive(string(body))
		}
		w.WriteHeader(status)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Write(content)
	}
}

func open(t *testing.T, s *server, dir string, keys ...string) *witness.Witness {
	t.Helper()
	w, err := witness.Open(witness.Config{
		Log: s.URL + "/log", Keys: keys, State: dir, Name: "witness.example/w1", Client: s.Client(), Every: 10 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func round(t *testing.T, w *witness.Witness) {
	t.Helper()
	if err := w.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// last is the newest cosignature that came, checked with the witness's public key.
func (s *server) last(t *testing.T, w *witness.Witness) verify.Cosigned {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.said) == 0 {
		t.Fatal("nothing was cosigned")
	}
	text, line, _ := strings.Cut(s.said[len(s.said)-1], "\n\n")
	c, err := verify.TextOf(text + "\n\n")
	if err != nil {
		t.Fatal(err)
	}
	key, err := verify.NewWitness(w.Public())
	if err != nil {
		t.Fatal(err)
	}
	one, err := verify.OpenCosignature(c, line, []*verify.Witness{key})
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// A log that only grows is cosigned at every size, over every border of tiles, by a witness that is started anew
// each time.
func TestALogThatGrows(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(1)
	s := serve(t, l)
	dir := filepath.Join(t.TempDir(), "state")
	size := int64(1)
	for _, n := range []int{0, 1, 253, 1, 1, 0, 256, 300, 64723, 1, 1} {
		l.Grow(n)
		size += int64(n)
		s.show(l)
		w := open(t, s, dir, l.Key.Public)
		round(t, w)
		if one := s.last(t, w); one.Size != size || one.Witness != "witness.example/w1" {
			t.Errorf("cosigned %+v, want %d entries", one, size)
		}
		if got := w.Stats(); got.Size != size || got.Alarm || got.Failures != 0 || got.Seen.IsZero() {
			t.Errorf("stats %+v", got)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is cosigned was on the disk before.
func TestItRemembersBeforeItCosigns(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(5)
	s := serve(t, l)
	dir := t.TempDir()
	s.receive = func(body string) int {
		latest, err := os.ReadFile(filepath.Join(dir, "latest"))
		text, _, _ := strings.Cut(body, "\n\n")
		if err != nil || !strings.HasPrefix(string(latest), text) {
			t.Errorf("cosigned before it was remembered: %q, error %v", latest, err)
		}
		return http.StatusNoContent
	}
	w := open(t, s, dir, l.Key.Public)
	defer w.Close()
	round(t, w)
	l.Grow(5)
	s.show(l)
	round(t, w)
	// What cannot be remembered is not cosigned.
	said := len(s.said)
	l.Grow(5)
	s.show(l)
	if err := os.Remove(filepath.Join(dir, "latest")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "latest"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Round(t.Context()); err == nil || len(s.said) != said {
		t.Errorf("error %v, %d cosignatures, want none more than %d", err, len(s.said), said)
	}
}

// fork is another log with the same key and, up to common, the same past.
func fork(t *testing.T, l *audittest.Log, common int, sizes ...int) *audittest.Log {
	t.Helper()
	other := audittest.NewLog(t)
	other.Key = l.Key
	for _, record := range l.Records[:common] {
		other.Add(record)
	}
	other.Entry("denied", "") // where another history begins
	for _, n := range sizes {
		other.Grow(n)
	}
	return other
}

func TestAlarms(t *testing.T) {
	for name, c := range map[string]struct {
		show func(t *testing.T, l *audittest.Log) *audittest.Log
		want string
	}{
		"set back": {func(t *testing.T, l *audittest.Log) *audittest.Log {
			other := audittest.NewLog(t)
			other.Key = l.Key
			for _, record := range l.Records[:300] {
				other.Add(record)
			}
			other.Sign()
			return other
		}, "set back"},
		"another past, longer":            {func(t *testing.T, l *audittest.Log) *audittest.Log { return fork(t, l, 200, 100, 99, 50) }, "fork"},
		"another past, of the same size":  {func(t *testing.T, l *audittest.Log) *audittest.Log { return fork(t, l, 200, 100, 99, 100) }, "fork"},
		"another past, by its last entry": {func(t *testing.T, l *audittest.Log) *audittest.Log { return fork(t, l, 399, 0, 0, 0, 100) }, "fork"},
		"two checkpoints of one number":   {func(t *testing.T, l *audittest.Log) *audittest.Log { return fork(t, l, 400, 99, 1) }, "two checkpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			l := audittest.NewLog(t)
			l.Grow(200)
			l.Grow(200)
			s := serve(t, l)
			dir := t.TempDir()
			w := open(t, s, dir, l.Key.Public)
			round(t, w)
			s.show(c.show(t, l))
			for range 2 { // as long as the log shows it, and after a new start
				said := len(s.said)
				err := w.Run(t.Context())
				var alarm *witness.Alarm
				if !errors.As(err, &alarm) || !strings.Contains(err.Error(), c.want) || !w.Stats().Alarm {
					t.Fatalf("error %v, want an alarm that says %q", err, c.want)
				}
				if len(s.said) != said {
					t.Error("it was cosigned all the same")
				}
				for _, file := range []string{"remembered", "shown", "what"} {
					if b, err := os.ReadFile(filepath.Join(alarm.Evidence, file)); err != nil || len(b) == 0 {
						t.Errorf("evidence: %v", err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				w = open(t, s, dir, l.Key.Public)
			}
			defer w.Close()
			l.Grow(1)
			s.show(l)
			round(t, w) // the log as it was is still the log
		})
	}
}

// What is no alarm is tried again: a server that is down, lies about tiles, or was signed by a stranger.
func TestFailuresPass(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(300)
	for name, breakIt := range map[string]func(t *testing.T, s *server){
		"down":                   func(_ *testing.T, s *server) { s.fail = true },
		"no checkpoint":          func(_ *testing.T, s *server) { delete(s.files, leaf.Newest) },
		"nonsense":               func(_ *testing.T, s *server) { s.files[leaf.Newest] = []byte("hello\n\nworld") },
		"far too long":           func(_ *testing.T, s *server) { s.files[leaf.Newest] = make([]byte, 1<<20) },
		"a tile that lies":       func(_ *testing.T, s *server) { s.files[leaf.Tile(0, 1, 44)] = make([]byte, 44*tlog.HashSize) },
		"a tile that is short":   func(_ *testing.T, s *server) { s.files[leaf.Tile(0, 1, 44)] = nil },
		"a tile that is missing": func(_ *testing.T, s *server) { delete(s.files, leaf.Tile(0, 1, 44)) },
		"another key": func(t *testing.T, s *server) {
			other := audittest.NewLog(t)
			other.Grow(301)
			s.files = other.Export()
		},
		"unwelcome": func(_ *testing.T, s *server) { s.receive = func(string) int { return http.StatusForbidden } },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, l)
			good := maps.Clone(s.files)
			breakIt(t, s)
			w := open(t, s, t.TempDir(), l.Key.Public)
			defer w.Close()
			err := w.Round(t.Context())
			var alarm *witness.Alarm
			if err == nil || errors.As(err, &alarm) || w.Stats().Failures != 1 {
				t.Errorf("error %v, stats %+v", err, w.Stats())
			}
			s.files, s.fail, s.receive = good, false, nil
			round(t, w)
		})
	}
}

// A key that changes while the witness sleeps is followed by its rotations, and by nothing else.
func TestItFollowsTheLogsKey(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(10)
	first := l.Key.Public
	s := serve(t, l)
	dir := t.TempDir()
	w := open(t, s, dir, first)
	round(t, w)
	for range 2 {
		next := audittest.NewSigner(t, "klarsyn/test")
		l.Next = &next
		l.Grow(10)
		l.Grow(10)
	}
	s.show(l)
	round(t, w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open(t, s, dir, first) // it remembers
	l.Grow(1)
	s.show(l)
	round(t, w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	usurped := audittest.NewLog(t)
	usurped.Grow(10)
	s.show(usurped)
	other := open(t, s, t.TempDir(), usurped.Key.Public)
	defer other.Close()
	round(t, other)
	usurper := audittest.NewSigner(t, "klarsyn/test")
	usurped.Key = usurper
	usurped.Grow(10)
	s.show(usurped)
	if err := other.Round(t.Context()); err == nil {
		t.Error("a key that nobody vouched for was followed")
	}
}

// A log that does not grow is cosigned anew once a minute, so that the witness's word stays young.
func TestItsWordStaysYoung(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(3)
	s := serve(t, l)
	now := audittest.Start
	w, err := witness.Open(witness.Config{
		Log: s.URL + "/log", Keys: []string{l.Key.Public}, State: t.TempDir(), Client: s.Client(), Now: func() time.Time { return now },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {30 * time.Second, 1}, {31 * time.Second, 2}, {time.Second, 2}, {time.Hour, 3}} {
		now = now.Add(c.after)
		round(t, w)
		if len(s.said) != c.want {
			t.Errorf("round %d: %d cosignatures, want %d", i, len(s.said), c.want)
		}
	}
}

func TestStatesThatCannotBeUsed(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(3)
	s := serve(t, l)
	stranger := audittest.NewSigner(t, "klarsyn/test").Public
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		key    string
		want   string
	}{
		"no key although it has seen the log": {func(t *testing.T, dir string) { remove(t, dir, "witness.key") }, l.Key.Public, "witness.key is missing"},
		"a key that others may read": {func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "witness.key"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, l.Key.Public, "chmod 600"},
		"a damaged key":          {func(t *testing.T, dir string) { put(t, dir, "witness.key", "hello") }, l.Key.Public, "witness.key"},
		"another's public key":   {func(t *testing.T, dir string) { put(t, dir, "witness.pub", stranger) }, l.Key.Public, "witness.pub"},
		"a memory that is gone":  {func(t *testing.T, dir string) { remove(t, dir, "latest") }, l.Key.Public, "latest is missing"},
		"a damaged checkpoint":   {func(t *testing.T, dir string) { put(t, dir, "latest", "hello") }, l.Key.Public, "latest"},
		"a state of another log": {func(*testing.T, string) {}, stranger, "latest"},
		"damaged rotations":      {func(t *testing.T, dir string) { put(t, dir, "rotations", "\x00") }, l.Key.Public, "rotations"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := open(t, s, dir, l.Key.Public)
			round(t, w)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir)
			_, err := witness.Open(witness.Config{Log: s.URL + "/log", Keys: []string{c.key}, State: dir})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that names %q", err, c.want)
			}
		})
	}
	dir := t.TempDir()
	w := open(t, s, dir, l.Key.Public)
	defer w.Close()
	if _, err := witness.Open(witness.Config{Log: s.URL + "/log", Keys: []string{l.Key.Public}, State: dir}); !errors.Is(err, witness.ErrBusy) {
		t.Errorf("two over one state: error %v, want ErrBusy", err)
	}
	for _, address := range []string{"", "square.example", "ftp://square.example/log", "https://anna:secret@square.example/log", "https://square.example/log?x=1"} {
		_, err := witness.Open(witness.Config{Log: address, Keys: []string{l.Key.Public}, State: t.TempDir()})
		if !errors.Is(err, witness.ErrAddress) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error %v, want ErrAddress", address, err)
		}
	}
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// A redirect to another server is not followed.
func TestItAsksNobodyElse(t *testing.T) {
	l := audittest.NewLog(t)
	l.Grow(3)
	elsewhere := serve(t, l)
	s := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/log/checkpoint", http.StatusFound))
	defer s.Close()
	w, err := witness.Open(witness.Config{Log: s.URL + "/log", Keys: []string{l.Key.Public}, State: t.TempDir(), Client: s.Client(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Round(t.Context()); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("error %v", err)
	}
}
