package testenv

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The variables that name a real Vault or OpenBao for tests to run against: its address, a root token, and the key that unseals it.
const (
	transitVariable       = "KLARSYN_TRANSIT"
	transitTokenVariable  = "KLARSYN_TRANSIT_TOKEN"
	transitUnsealVariable = "KLARSYN_TRANSIT_UNSEAL"
)

// Transit is a key server with a transit engine of the test's own.
type Transit struct {
	Server string // https://127.0.0.1:PORT
	CA     string // file
	Engine string

	root, unseal string
	client       *http.Client
	address      string
	handler      http.Handler
	certificate  tls.Certificate
	server       *http.Server // nil: somebody else's
	gate         *gate
}

// StartTransit starts a key server over TLS, or takes an engine on the one that KLARSYN_TRANSIT names.
func StartTransit(t testing.TB) *Transit {
	t.Helper()
	tr := &Transit{Engine: "t" + rand.Text(), client: &http.Client{Timeout: 10 * time.Second}}
	if tr.Server = os.Getenv(transitVariable); tr.Server != "" {
		tr.root, tr.unseal = os.Getenv(transitTokenVariable), os.Getenv(transitUnsealVariable)
	} else {
		s := newTransitServer()
		tr.root, tr.unseal, tr.handler, tr.address = s.root, s.unseal, s, Address(t)
		tr.Server = "https://" + tr.address
		tr.trust(t)
		tr.Start(t)
		t.Cleanup(tr.Stop)
	}
	tr.ask(t, http.MethodPost, "sys/mounts/"+tr.Engine, map[string]any{"type": "transit"})
	t.Cleanup(tr.client.CloseIdleConnections)
	return tr
}

func (tr *Transit) trust(t testing.TB) {
	t.Helper()
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "server.crt"), filepath.Join(folder, "server.key")
	tr.CA = Certify(t, certFile, keyFile)
	pem, err := os.ReadFile(tr.CA)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("the authority's certificate: %v", err)
	}
	if tr.certificate, err = tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	tr.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

// Start lets the server answer, again if it was stopped; its keys are still there.
func (tr *Transit) Start(t testing.TB) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", tr.address)
	if err != nil {
		t.Fatal(err)
	}
	tr.gate = &gate{handler: tr.handler, open: make(chan struct{})}
	close(tr.gate.open)
	tr.server = &http.Server{Handler: tr.gate, ReadHeaderTimeout: 5 * time.Second, TLSConfig: &tls.Config{Certificates: []tls.Certificate{tr.certificate}, MinVersion: tls.VersionTLS12}}
	go func(s *http.Server) { _ = s.ServeTLS(l, "", "") }(tr.server) // ends with Stop
}

// Stop ends the server: its connections are cut.
func (tr *Transit) Stop() {
	if tr.server != nil {
		_ = tr.server.Close()
	}
}

// Ours reports whether the server is this process's, so that it can be stopped and hung.
func (tr *Transit) Ours() bool { return tr.handler != nil }

// Hang lets the server take questions and answer none, until resume is called.
func (tr *Transit) Hang() (resume func()) {
	open := make(chan struct{})
	tr.gate.set(open)
	return func() { close(open) }
}

// gate holds questions back while the server hangs.
type gate struct {
	handler http.Handler
	mu      sync.Mutex
	open    chan struct{} // closed: they pass
}

func (g *gate) set(open chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		g.handler.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}

// Seal seals the server: it is there and opens nothing. Unseal ends that.
func (tr *Transit) Seal(t testing.TB) { t.Helper(); tr.ask(t, http.MethodPost, "sys/seal", nil) }

// Unseal lets a sealed server work again.
func (tr *Transit) Unseal(t testing.TB) {
	t.Helper()
	tr.ask(t, http.MethodPost, "sys/unseal", map[string]any{"key": tr.unseal})
	Eventually(t, 20*time.Second, "the key server is unsealed", func() bool {
		_, err := tr.try(t.Context(), http.MethodPost, "auth/token/create", map[string]any{"policies": []string{"none"}})
		return err == nil
	})
}

// Key makes a key.
func (tr *Transit) Key(t testing.TB, name string) {
	t.Helper()
	tr.ask(t, http.MethodPost, tr.Engine+"/keys/"+name, map[string]any{})
}

// Token makes a token that a policy allows something, in a file as processes are given it. The policy speaks of the engine
// "transit" and of the key "square".
func (tr *Transit) Token(t testing.TB, policy, key string) (file string) {
	t.Helper()
	name := "p" + rand.Text()
	policy = string(bytes.ReplaceAll([]byte(policy), []byte(`"transit/`), []byte(`"`+tr.Engine+`/`)))
	policy = string(bytes.ReplaceAll([]byte(policy), []byte(`/square`), []byte(`/`+key)))
	tr.ask(t, http.MethodPut, "sys/policies/acl/"+name, map[string]any{"policy": policy})
	answer := tr.ask(t, http.MethodPost, "auth/token/create", map[string]any{"policies": []string{name}, "no_default_policy": true})
	auth, _ := answer["auth"].(map[string]any)
	token, _ := auth["client_token"].(string)
	if token == "" {
		t.Fatalf("no token: %v", answer)
	}
	return tr.tokenFile(t, token)
}

// Root is a token that may do all.
func (tr *Transit) Root(t testing.TB) (file string) { t.Helper(); return tr.tokenFile(t, tr.root) }

func (tr *Transit) tokenFile(t testing.TB, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Master is the address of a key, as klarsyn reads it.
func (tr *Transit) Master(key, tokenFile string) string {
	q := url.Values{"server": {tr.Server}, "engine": {tr.Engine}, "token": {tokenFile}}
	if tr.CA != "" {
		q.Set("ca", tr.CA)
	}
	return "hashivault://" + key + "?" + q.Encode()
}

func (tr *Transit) ask(t testing.TB, method, path string, body map[string]any) map[string]any {
	t.Helper()
	answer, err := tr.try(t.Context(), method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

func (tr *Transit) try(ctx context.Context, method, path string, body map[string]any) (map[string]any, error) {
	var b []byte
	var err error
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, tr.Server+"/v1/"+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Vault-Token", tr.root)
	res, err := tr.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode >= 300 {
		return nil, errors.Join(err, errors.New(res.Status+": "+string(said)))
	}
	var answer map[string]any
	if len(said) > 0 {
		err = json.Unmarshal(said, &answer)
	}
	return answer, err
}
