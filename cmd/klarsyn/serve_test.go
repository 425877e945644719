package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"klarsyn/api"
	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit"
)

// events are the entries of an event in a data directory's log, oldest first.
func events(t *testing.T, l layout, event policy.Event) []policy.Entry {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	if err := s.log.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	numbered, err := s.log.Entries(t.Context(), audit.Query{Events: []policy.Event{event}})
	if err != nil {
		t.Fatal(err)
	}
	var found []policy.Entry
	for _, n := range numbered {
		found = append(found, n.Entry)
	}
	return found
}

// withAccount adds anna, an investigator, and returns her password.
func withAccount(t *testing.T, l layout) string {
	t.Helper()
	s := opened(t, l, nil)
	defer s.close()
	password, err := s.addAccount(t.Context(), "service:test", "anna", policy.Investigator)
	if err != nil {
		t.Fatal(err)
	}
	return password
}

// lines keeps what a command writes, and may be read while it runs.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *lines) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *lines) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// serving runs the command until stop, which returns its exit code, and says where it serves.
func serving(t *testing.T, args ...string) (base string, errs *lines, stop func() int) {
	t.Helper()
	out, errs := &lines{}, &lines{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), stdio{out, errs})
	}()
	stop = sync.OnceValue(func() int {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { stop() })
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, after, ok := strings.Cut(out.String(), "Klarsyn serves "); ok && strings.Contains(after, "\n") {
			return strings.TrimSpace(after), errs, stop
		}
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("it does not serve: %s%s", out, errs)
		}
	}
}

// ask sends one request without keeping the connection.
func ask(t *testing.T, client *http.Client, method, address, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func loginOf(password string) string { return fmt.Sprintf(`{"user":"anna","password":%q}`, password) }

// A stop while somebody watches: the response ends first, then its viewing is closed with all that was
// served, and the last thing that the log says is that serve stopped.
func TestCleanStopClosesViewings(t *testing.T) {
	l := installed(t)
	const size = 24 << 20 // more than the sockets between server and client hold
	clip := recordedOf(t, l, 1, size)[0]
	password := withAccount(t, l)
	base, errs, stop := serving(t, "--data", l.root)
	res, body := ask(t, http.DefaultClient, "POST", base+"/api/v1/login", loginOf(password))
	if res.StatusCode != 200 {
		t.Fatalf("login: %d %s", res.StatusCode, body)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/clips/%s/media HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: %s\r\nKlarsyn-Purpose: crime-investigation\r\nKlarsyn-Case: K-1\r\n\r\n",
		clip.ID, res.Cookies()[0].String())
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatalf("the response does not begin: %v %s", err, errs)
	}
	stopped := make(chan int, 1)
	go func() { stopped <- stop() }()
	time.Sleep(300 * time.Millisecond) // it stops while the response waits for this client
	n, err := io.Copy(io.Discard, conn)
	if err != nil || n < size*9/10 {
		t.Errorf("%d bytes came after the stop, %v", n, err)
	}
	if code := <-stopped; code != exitOK {
		t.Errorf("exit %d: %s", code, errs)
	}
	closed := events(t, l, policy.ViewingClosed)
	if len(closed) == 0 {
		t.Fatal("no viewing was closed")
	}
	last := closed[len(closed)-1]
	if last.Reason != "stopped" || last.Details["responses"] != "1" || last.Details["unfinished"] != "0" || last.Object != "clip:"+clip.ID {
		t.Errorf("the viewing was closed with %+v", last)
	}
	ends := events(t, l, policy.ServiceStopped)
	if len(ends) != 1 || ends[0].Actor != "service:serve" || ends[0].ID <= last.ID {
		t.Errorf("the log ends with %+v, want that serve stopped, after the viewing", ends)
	}
	if begins := events(t, l, policy.ServiceStarted); len(begins) != 1 || begins[0].Actor != "service:serve" {
		t.Errorf("the log begins with %+v", begins)
	}
}

// The rules that decide are named in the log once, however often serve starts.
func TestRulesAreActivatedOnce(t *testing.T) {
	l := installed(t)
	for range 2 {
		if _, errs, stop := serving(t, "--data", l.root); stop() != exitOK {
			t.Errorf("%s", errs)
		}
	}
	if activated := events(t, l, policy.RulesActivated); len(activated) != 1 || activated[0].Revision == "" || activated[0].Actor != "service:serve" {
		t.Errorf("the log says %+v", activated)
	}
}

// certified writes a certificate for 127.0.0.1 and returns a client that trusts it alone.
func certified(t *testing.T) (cert, key string, client *http.Client, config *tls.Config) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem")
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(cert, chain, 0o600), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	config = &tls.Config{RootCAs: pool}
	return cert, key, &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, config
}

// Where clients speak TLS the session cookie says so, whether serve speaks it or a proxy before it.
func TestCookiesAreSecure(t *testing.T) {
	l := installed(t)
	password := withAccount(t, l)
	cert, key, client, config := certified(t)
	for name, c := range map[string]struct {
		args   []string
		client *http.Client
		scheme string
		secure bool
	}{
		"plain, on this machine": {nil, http.DefaultClient, "http://", false},
		"its own TLS":            {[]string{"--tls-cert", cert, "--tls-key", key}, client, "https://", true},
		"behind TLS":             {[]string{"--behind-tls"}, http.DefaultClient, "http://", true},
	} {
		base, errs, stop := serving(t, append([]string{"--data", l.root}, c.args...)...)
		if !strings.HasPrefix(base, c.scheme) {
			t.Errorf("%s: serves %s", name, base)
		}
		res, body := ask(t, c.client, "POST", base+"/api/v1/login", loginOf(password))
		if res.StatusCode != 200 {
			t.Fatalf("%s: login: %d %s", name, res.StatusCode, body)
		}
		cookie := res.Cookies()[0]
		if cookie.Secure != c.secure || strings.HasPrefix(cookie.Name, "__Host-") != c.secure || (res.Header.Get("Strict-Transport-Security") != "") != c.secure {
			t.Errorf("%s: cookie %s", name, cookie)
		}
		if c.scheme == "https://" {
			old := config.Clone()
			old.MaxVersion = tls.VersionTLS11
			if conn, err := tls.Dial("tcp", strings.TrimPrefix(base, c.scheme), old); err == nil {
				conn.Close()
				t.Error("TLS 1.1 is spoken")
			}
		}
		// A scraper here is let in where no proxy stands before it.
		if res, _ := ask(t, c.client, "GET", base+"/metrics", ""); (res.StatusCode == 200) != (name != "behind TLS") {
			t.Errorf("%s: metrics: %d", name, res.StatusCode)
		}
		if warned := strings.Contains(errs.String(), "--trusted-proxy"); warned != (name == "behind TLS") {
			t.Errorf("%s: says %s", name, errs)
		}
		if code := stop(); code != exitOK {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
	}
}

// The log names the client that a trusted proxy speaks for, and nobody else can choose what it says.
func TestTrustedProxyNamesTheClient(t *testing.T) {
	for _, c := range []struct{ proxy, want string }{{"127.0.0.1", "203.0.113.9"}, {"10.0.0.0/24", "127.0.0.1"}} {
		l := installed(t)
		base, errs, stop := serving(t, "--data", l.root, "--trusted-proxy", c.proxy)
		res, _ := ask(t, http.DefaultClient, "POST", base+"/api/v1/login", loginOf("wrong"), "X-Forwarded-For", "198.51.100.1, 203.0.113.9")
		if res.StatusCode != 401 {
			t.Errorf("login: %d", res.StatusCode)
		}
		if code := stop(); code != exitOK {
			t.Errorf("exit %d: %s", code, errs)
		}
		if failed := events(t, l, policy.LoginFailed); len(failed) != 1 || failed[0].Remote != c.want {
			t.Errorf("trusting %s: the log says %+v, want %s", c.proxy, failed, c.want)
		}
	}
}

// Metrics have an address of their own if one is wanted, with limits like every other, and tell of a log that
// nobody numbers.
func TestMetricsOfTheirOwn(t *testing.T) {
	l := installed(t)
	addr := freeAddress(t)
	_, errs, stop := serving(t, "--data", l.root, "--behind-tls", "--metrics", addr)
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("no metrics: %s", errs)
		}
	}
	// What was applied (two), rules and start stand in the log, and nobody numbers it here. The start may be logged a moment after
	// the first answer.
	res, body := ask(t, http.DefaultClient, "GET", "http://"+addr+"/metrics", "")
	for asked := time.Now(); strings.Contains(body, "\nklarsyn_audit_pending 3\n") && time.Since(asked) < 10*time.Second; time.Sleep(50 * time.Millisecond) {
		res, body = ask(t, http.DefaultClient, "GET", "http://"+addr+"/metrics", "")
	}
	if res.StatusCode != 200 || !strings.Contains(body, "\nklarsyn_audit_pending 4\n") {
		t.Errorf("metrics: %d %s", res.StatusCode, body)
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit %d: %s", code, errs)
	}
	srv := metricsServer(newRegistry())
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
		t.Errorf("a client may hold a connection of the metrics server for ever: %+v", srv)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A part that is broken is named, and strangers who ask again and again cost one question a second.
func TestReadiness(t *testing.T) {
	for part, breakIt := range map[string]func(t *testing.T, sv *serve){
		"":          func(*testing.T, *serve) {},
		"log":       func(t *testing.T, sv *serve) { altered(t, sv.site.layout, `DROP TABLE audit_pending`) },
		"store":     func(t *testing.T, sv *serve) { removeAll(t, sv.site.layout.objects()) },
		"keys":      func(_ *testing.T, sv *serve) { sv.keyDB.Close() },
		"catalogue": func(_ *testing.T, sv *serve) { sv.site.db.Close() },
	} {
		s := opened(t, installed(t), nil)
		sv, err := openServe(t.Context(), s, newRegistry())
		if err != nil {
			t.Fatal(err)
		}
		breakIt(t, sv)
		err = sv.probe.ready(t.Context())
		var broken *api.NotReady
		if named := errors.As(err, &broken); (err != nil) != (part != "") || (named && broken.Part != part) {
			t.Errorf("%q is broken: %v", part, err)
		}
		if n := audited(t, s); part == "" && n != 3 {
			t.Errorf("asking left %d entries in the log, want that of the rules, and the two of what was applied", n)
		}
		sv.keyDB.Close()
		s.close()
	}
	asked := 0
	p := &probe{ask: func(ctx context.Context) error { asked++; return ctx.Err() }}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if err := p.ready(gone); err != nil {
			t.Errorf("a client that left decides for others: %v", err)
		}
	}
	if p.asked = p.asked.Add(-probeEvery); asked != 1 {
		t.Errorf("asked %d times at once, want once", asked)
	}
	if err := p.ready(gone); err != nil || asked != 2 {
		t.Errorf("a second later: asked %d times, %v", asked, err)
	}
}

func audited(t *testing.T, s *site) int64 {
	t.Helper()
	n, _, err := s.log.Pending(context.Background())
	if err != nil {
		return -1
	}
	return n
}

func removeAll(t *testing.T, folder string) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
}

// A camera is said to record only while something shows that it does: the recorder may have died.
func TestRecorderState(t *testing.T) {
	const noGap = `DELETE FROM catalogue_gap`
	for name, c := range map[string]struct {
		age, pending time.Duration // of the newest clip's end; of a clip without an end, if not 0
		open         bool          // a gap is open
		want         api.RecorderState
	}{
		"records":                    {time.Second, 0, false, api.RecorderState{Recording: true}},
		"between two clips":          {30 * time.Second, 0, false, api.RecorderState{Recording: true}},
		"silent for too long":        {50 * time.Second, 0, false, api.RecorderState{}},
		"died weeks ago":             {20 * 24 * time.Hour, 0, false, api.RecorderState{}},
		"records its next clip":      {50 * time.Second, 5 * time.Second, false, api.RecorderState{Recording: true}},
		"died in the middle of one":  {time.Hour, 50 * time.Second, false, api.RecorderState{}},
		"stopped, and has said so":   {20 * 24 * time.Hour, 0, true, api.RecorderState{Cause: camera.OurFault}},
		"stopped, and only just now": {time.Second, 0, true, api.RecorderState{Cause: camera.OurFault}},
	} {
		l := installed(t)
		recorded(t, l, 2)
		if !c.open {
			altered(t, l, noGap)
		}
		// Both clips are shifted so that the newer one ends as long ago as the case says.
		altered(t, l, `UPDATE catalogue_clip SET start_us = start_us + $1 - m, end_us = end_us + $1 - m
			FROM (SELECT MAX(end_us) AS m FROM catalogue_clip) AS newest`, time.Now().Add(-c.age).UnixMicro())
		if c.pending > 0 {
			altered(t, l, `UPDATE catalogue_clip SET start_us = $1, end_us = 0 WHERE start_us = (SELECT MAX(start_us) FROM catalogue_clip)`,
				time.Now().Add(-c.pending).UnixMicro())
		}
		s := opened(t, l, nil)
		got := s.recorderState(s.catalogue("test"), "k1")
		if got.Recording != c.want.Recording || got.Cause != c.want.Cause || got.Since.IsZero() != (c.want == api.RecorderState{}) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if got := s.recorderState(s.catalogue("test"), "k7"); got != (api.RecorderState{}) {
			t.Errorf("a camera that never recorded: %+v", got)
		}
		s.close()
	}
}

// The demo may be put on the network, but not without a word.
func TestPlainHTTPOnTheNetworkIsSaidAloud(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true} {
		out := &lines{}
		l := installed(t)
		s, err := openSite(t.Context(), siteOptions{data: l.root, logger: slog.New(slog.NewTextHandler(out, nil))})
		if err != nil {
			t.Fatal(err)
		}
		sv, err := openServe(t.Context(), s, newRegistry())
		if err != nil {
			t.Fatal(err)
		}
		listener, err := listen(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- sv.run(ctx, listener) }()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		ask(t, http.DefaultClient, "GET", "http://127.0.0.1:"+port+"/healthz", "")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if warned := strings.Contains(out.String(), "in the clear"); warned != want {
			t.Errorf("on %s it says %q", addr, out)
		}
		s.close()
	}
}
