package keys

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// sealedByTransit begins what a transit engine sealed; the version of its key follows.
const sealedByTransit = "vault:v"

// TransitTimeout is how long a key server may take to answer.
const TransitTimeout = 5 * time.Second

// Transit is a master key that never leaves a key server: HashiCorp Vault, or OpenBao, which speaks the same.
type Transit struct {
	cfg    TransitConfig
	client *api.Client
	close  func()
}

// Errors of key servers, that callers tell apart: ErrAway may be over soon, the others want somebody to do something.
var (
	ErrAway   = errors.New("the key server does not answer")
	ErrDenied = errors.New("the key server refuses")
	// errNoTransitKey is a key that is not there: of one that was destroyed that is as it should be.
	errNoTransitKey = fmt.Errorf("%w: there is no such key or engine", ErrDenied)
)

// OpenTransit makes a client of a key server. It asks the server nothing yet.
func OpenTransit(cfg TransitConfig) (*Transit, error) {
	token, err := cfg.token()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: (&net.Dialer{Timeout: TransitTimeout}).DialContext, TLSHandshakeTimeout: TransitTimeout, ResponseHeaderTimeout: TransitTimeout,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("key server %s: the authority's certificate: %w", cfg.Server, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("key server %s: %s holds no certificate in PEM form", cfg.Server, cfg.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, fmt.Errorf("key server %s: the environment (VAULT_…): %w", cfg.Server, c.Error)
	}
	c.Address, c.AgentAddress, c.MaxRetries, c.Timeout = cfg.Server, "", 1, TransitTimeout
	c.HttpClient = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a token goes to the server that was named
	}}
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("key server %s: %w", cfg.Server, err)
	}
	client.SetToken(token)
	return &Transit{cfg: cfg, client: client, close: transport.CloseIdleConnections}, nil
}

// Close gives the connections back.
func (t *Transit) Close() { t.close() }

// Name is the master key's, as the key store notes it. It says nothing of the server, which may have several addresses.
func (t *Transit) Name() string { return "transit:" + t.cfg.Engine + "/" + t.cfg.Key }

// Seal closes plain under the newest version of the key.
func (t *Transit) Seal(ctx context.Context, plain []byte) ([]byte, Mark, error) {
	var sealed struct {
		Ciphertext string `json:"ciphertext"`
	}
	if err := t.ask(ctx, "sealing", http.MethodPost, "encrypt/"+t.cfg.Key, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}, &sealed); err != nil {
		return nil, Mark{}, err
	}
	version, ok := versionOf([]byte(sealed.Ciphertext))
	if !ok {
		return nil, Mark{}, fmt.Errorf("%s answers with no sealed value: is it the address of Vault or OpenBao?", t.cfg)
	}
	return []byte(sealed.Ciphertext), Mark{t.Name(), version}, nil
}

// versionOf is the version of the key that sealed something; ok is false if it was no transit engine.
func versionOf(sealed []byte) (version int64, ok bool) {
	rest, ok := bytes.CutPrefix(sealed, []byte(sealedByTransit))
	number, _, found := bytes.Cut(rest, []byte(":"))
	if !ok || !found {
		return 0, false
	}
	version, err := strconv.ParseInt(string(number), 10, 64)
	return version, err == nil && version > 0
}

// Open opens what Seal closed.
func (t *Transit) Open(ctx context.Context, sealed []byte) ([]byte, error) {
	if _, ok := versionOf(sealed); !ok {
		return nil, fmt.Errorf("opening under %s: %w", t.cfg, ErrForeign)
	}
	var opened struct {
		Plaintext *string `json:"plaintext"`
	}
	if err := t.ask(ctx, "opening", http.MethodPost, "decrypt/"+t.cfg.Key, map[string]any{"ciphertext": string(sealed)}, &opened); err != nil {
		return nil, err
	}
	if opened.Plaintext == nil {
		return nil, fmt.Errorf("%s answers with no opened value: is it the address of Vault or OpenBao?", t.cfg)
	}
	return base64.StdEncoding.DecodeString(*opened.Plaintext)
}

// ask puts one question to the key server and reads its answer, with a deadline.
func (t *Transit) ask(ctx context.Context, doing, method, path string, question map[string]any, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, TransitTimeout)
	defer cancel()
	var body []byte
	var err error
	if question != nil {
		if body, err = json.Marshal(question); err != nil {
			return err
		}
	}
	r := t.client.NewRequest(method, "/v1/"+t.cfg.Engine+"/"+path)
	r.BodyBytes = body
	res, err := t.client.RawRequestWithContext(ctx, r) //nolint:staticcheck // the others follow redirects and wrap what is not wanted here
	if res != nil {
		defer res.Body.Close()
	}
	if err != nil {
		return t.explain(doing, err)
	}
	if answer == nil {
		return nil
	}
	envelope := struct {
		Data any `json:"data"`
	}{answer}
	if err := res.DecodeJSON(&envelope); err != nil {
		return fmt.Errorf("%s under %s: the answer makes no sense (%w): is it the address of Vault or OpenBao?", doing, t.cfg, err)
	}
	return nil
}

// explain says what is wrong with a key server, and what mends it.
func (t *Transit) explain(doing string, err error) error {
	var refused *api.ResponseError
	if !errors.As(err, &refused) {
		return fmt.Errorf("%s under %s: %w: %w", doing, t.cfg, ErrAway, err)
	}
	said := strings.Join(refused.Errors, "; ")
	switch {
	case refused.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s under %s: %w: the token is wrong or expired, its policy does not allow this (deploy/roles/transit-*.hcl), or there is no such key: %s", doing, t.cfg, ErrDenied, said)
	case refused.StatusCode == http.StatusServiceUnavailable && strings.Contains(strings.ToLower(said), "sealed"):
		return fmt.Errorf("%s under %s: %w: it is sealed; unseal it (bao operator unseal)", doing, t.cfg, ErrAway)
	case refused.StatusCode >= 500, refused.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s under %s: %w: status %d: %s", doing, t.cfg, ErrAway, refused.StatusCode, said)
	case refused.StatusCode == http.StatusNotFound, refused.StatusCode == http.StatusBadRequest && strings.Contains(said, "encryption key not found"):
		return fmt.Errorf("%s under %s: %w; make it with: bao secrets enable -path=%s transit; bao write -f %[4]s/keys/%[5]s",
			doing, t.cfg, errNoTransitKey, t.cfg.Engine, t.cfg.Key)
	case refused.StatusCode == http.StatusBadRequest && doing == "opening":
		return fmt.Errorf("opening under %s: %w: %s", t.cfg, ErrForeign, said)
	}
	return fmt.Errorf("%s under %s: %w: status %d: %s", doing, t.cfg, ErrDenied, refused.StatusCode, said)
}
