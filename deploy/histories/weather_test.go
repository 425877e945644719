package histories

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
	"klarsyn/deploy/world"
	"klarsyn/deploy/world/worldtest"
	"klarsyn/retention/object"
)

// mood is how an object store behaves.
type mood string

const (
	up        mood = "up"
	down      mood = "down"      // nobody answers
	failing   mood = "failing"   // every other request is refused with an error of the store's own
	forgetful mood = "forgetful" // every other request is done, and its answer is an error
	slow      mood = "slow"      // every answer takes a while
	hanging   mood = "hanging"   // connections stand, and nothing comes
)

var moods = []mood{up, down, failing, forgetful, slow, hanging}

// lag is what a slow store takes for an answer.
const lag = 30 * time.Millisecond

// weather is a store's way to the world, which can be made bad.
type weather interface {
	set(t testing.TB, m mood)
	// reached is where the store is to be found, and what is to be laid around it.
	reached(a world.Addresses) world.Addresses
	around(s object.Store) object.Store
}

// over is the weather of a pair.
func over(t *testing.T, p worldtest.Pair) weather {
	if p.Store == nil {
		return &disk{}
	}
	return newLine(t, p.Store)
}

// disk is the weather of a directory: what a network file system does to its callers.
type disk struct {
	mood atomic.Value
	n    atomic.Int64
}

func (d *disk) set(_ testing.TB, m mood)                  { d.mood.Store(m) }
func (d *disk) reached(a world.Addresses) world.Addresses { return a }
func (d *disk) around(s object.Store) object.Store        { return stormy{s, d} }

// suffer is what comes before an operation; after it, lost says that its answer is not heard.
func (d *disk) suffer(ctx context.Context) (lost bool, err error) {
	m, _ := d.mood.Load().(mood)
	odd := d.n.Add(1)%2 == 1
	switch {
	case m == down:
		return false, fmt.Errorf("the disk: %w", object.ErrUnreachable)
	case m == failing && odd:
		return false, fmt.Errorf("the disk: input/output error")
	case m == slow:
		time.Sleep(lag)
	case m == hanging:
		<-ctx.Done()
		return false, ctx.Err()
	}
	return m == forgetful && odd, nil
}

// stormy is a directory in bad weather.
type stormy struct {
	object.Store
	weather *disk
}

// errUnheard is an answer that did not come back.
var errUnheard = fmt.Errorf("the disk: the answer was lost: %w", object.ErrUnreachable)

func through[T any](ctx context.Context, d *disk, do func() (T, error)) (T, error) {
	var none T
	lost, err := d.suffer(ctx)
	if err != nil {
		return none, err
	}
	have, err := do()
	if lost {
		return none, errUnheard
	}
	return have, err
}

func (s stormy) Put(ctx context.Context, key string, body io.Reader, size int64, sum [sha256.Size]byte) (object.Info, error) {
	return through(ctx, s.weather, func() (object.Info, error) { return s.Store.Put(ctx, key, body, size, sum) })
}

func (s stormy) Stat(ctx context.Context, key string) (object.Info, error) {
	return through(ctx, s.weather, func() (object.Info, error) { return s.Store.Stat(ctx, key) })
}

func (s stormy) Verify(ctx context.Context, key string) (object.Info, error) {
	return through(ctx, s.weather, func() (object.Info, error) { return s.Store.Verify(ctx, key) })
}

func (s stormy) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if lost, err := s.weather.suffer(ctx); lost || err != nil {
		return nil, errUnheard
	}
	return s.Store.Open(ctx, key, offset, length)
}

func (s stormy) Delete(ctx context.Context, key string) (int, error) {
	return through(ctx, s.weather, func() (int, error) { return s.Store.Delete(ctx, key) })
}

func (s stormy) DeleteAll(ctx context.Context, keys []string) []object.Deletion {
	all, err := through(ctx, s.weather, func() ([]object.Deletion, error) { return s.Store.DeleteAll(ctx, keys), nil })
	if err == nil {
		return all
	}
	all = make([]object.Deletion, len(keys))
	for i := range all {
		all[i].Err = err
	}
	return all
}

func (s stormy) LegalHold(ctx context.Context, key, version string, on bool) error {
	_, err := through(ctx, s.weather, func() (int, error) { return 0, s.Store.LegalHold(ctx, key, version, on) })
	return err
}

func (s stormy) Traces(ctx context.Context, prefix string) iter.Seq2[object.Trace, error] {
	if lost, err := s.weather.suffer(ctx); lost || err != nil {
		return func(yield func(object.Trace, error) bool) { yield(object.Trace{}, errUnheard) }
	}
	return s.Store.Traces(ctx, prefix)
}

// line is the weather of a server: a link that can be cut, and behind it somebody who answers in the server's place.
type line struct {
	link *testenv.Link

	mu   sync.Mutex
	mood mood
	n    int
}

func newLine(t *testing.T, server *testenv.S3) *line {
	t.Helper()
	l := &line{mood: up}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: server.Address})
			r.Out.Host = r.In.Host
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		m := l.mood
		l.n++
		odd := l.n%2 == 1
		l.mu.Unlock()
		switch {
		case m == failing && odd:
			http.Error(w, "", http.StatusInternalServerError)
		case m == forgetful && odd:
			pass.ServeHTTP(httptest.NewRecorder(), r)
			http.Error(w, "", http.StatusInternalServerError)
		default:
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	l.link = testenv.NewLink(t, front.Listener.Addr().String())
	return l
}

func (l *line) set(t testing.TB, m mood) {
	l.link.Mend()
	switch m {
	case down:
		l.link.Add(t, "reset_peer", `{"timeout": 0}`)
	case slow:
		l.link.Add(t, "latency", fmt.Sprintf(`{"latency": %d}`, lag.Milliseconds()))
	case hanging:
		l.link.Add(t, "timeout", `{"timeout": 0}`)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mood = m
}

func (l *line) reached(a world.Addresses) world.Addresses {
	u, err := url.Parse(a.Objects)
	if err != nil {
		panic(err) // the pair made it
	}
	u.Host = l.link.Address
	a.Objects = u.String()
	return a
}

func (l *line) around(s object.Store) object.Store { return s }
