package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/api"
	"klarsyn/policy"
)

// remoteTime bounds one request to a server.
const remoteTime = time.Minute

// remoteDesk asks a server, with the rights of the session whose token it has.
type remoteDesk struct {
	base   *url.URL
	token  string
	client *http.Client
}

func newRemoteDesk(server, tokenFile string) (*remoteDesk, error) {
	base, err := serverAddress(server)
	if err != nil {
		return nil, err
	}
	if tokenFile == "" {
		return nil, usageError{errors.New("--token-file is missing: klarsyn login writes one")}
	}
	b, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, usageError{fmt.Errorf("--token-file: %w; klarsyn login writes one", err)}
	}
	return &remoteDesk{base, strings.TrimSpace(string(b)), remoteClient()}, nil
}

// remoteClient follows no redirect: it would carry a password or a token to where nobody said that it may go.
func remoteClient() *http.Client {
	return &http.Client{Timeout: remoteTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// serverAddress refuses an address over which a token or a password would travel in the clear.
func serverAddress(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, usageError{errors.New("--server: want https://HOST[:PORT], without a login in it")}
	}
	if host := u.Hostname(); u.Scheme == "http" && host != "127.0.0.1" && host != "::1" && host != "localhost" {
		return nil, usageError{errors.New("--server: http carries the token in the clear: want https://, or an address of this machine")}
	}
	return u, nil
}

func (d *remoteDesk) close() error { return nil }

// ask sends a request and reads its answer into out.
func (d *remoteDesk) ask(ctx context.Context, method, path string, query url.Values, body []byte, out any) error {
	u := *d.base
	u.Path, u.RawQuery = path, query.Encode()
	header := http.Header{"Authorization": {"Bearer " + d.token}}
	if body != nil {
		header.Set("Content-Type", "application/yaml")
	}
	answer, _, err := send(ctx, d.client, method, &u, header, body)
	var refused *refusedError
	if errors.As(err, &refused) && refused.status == http.StatusUnauthorized {
		return usageError{errors.New("the server does not know the token (any more): get a new one with klarsyn login")}
	}
	if err != nil {
		return err
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = answer
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the server's answer makes no sense: is it klarsyn serve? %w", err)
	}
	return nil
}

// send asks a server. An answer that is not 200 is a *refusedError, as wrong use where who asked can mend it.
func send(ctx context.Context, client *http.Client, method string, u *url.URL, header http.Header, body []byte) (answer []byte, cookies []*http.Cookie, err error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = header
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("asking the server: %w", err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return nil, nil, fmt.Errorf("asking the server: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, nil, problemOf(res.StatusCode, answer)
	}
	return answer, res.Cookies(), nil
}

// refusedError is an answer other than the one that was asked for.
type refusedError struct {
	status int
	said   string
}

func (e *refusedError) Error() string { return e.said }

// problemOf is what the server says is wrong.
func problemOf(status int, body []byte) error {
	var p api.Problem
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		return &refusedError{status, fmt.Sprintf("the server answers %d: is it klarsyn serve?", status)}
	}
	lines := []string{strings.TrimSuffix(p.Title, ".") + ": " + p.Detail}
	for _, e := range p.Errors {
		lines = append(lines, e.Message)
	}
	err := &refusedError{status, strings.Join(lines, "\n")}
	if status >= 500 || status == http.StatusConflict || status == http.StatusTooManyRequests { // as here: it was asked rightly
		return err
	}
	return usageError{err}
}

func (d *remoteDesk) Apply(ctx context.Context, name string, text []byte, try bool) (api.Plan, error) {
	var p api.Plan
	err := d.ask(ctx, http.MethodPost, "/api/v1/square", url.Values{"dry_run": {fmt.Sprint(try)}}, text, &p)
	return p, named(err, name)
}

func (d *remoteDesk) Simulate(ctx context.Context, name string, text []byte) (api.Plan, error) {
	var p api.Plan
	err := d.ask(ctx, http.MethodPost, "/api/v1/permits/simulate", nil, text, &p)
	return p, named(err, name)
}

// named has an error say the name of the file for the description that the server read.
func named(err error, name string) error {
	var usage usageError
	if !errors.As(err, &usage) {
		return err
	}
	return usageError{errors.New(strings.ReplaceAll(usage.Error(), "\n"+sentDescription+":", "\n"+name+":"))}
}

func (d *remoteDesk) Document(ctx context.Context) ([]byte, error) {
	var text []byte
	err := d.ask(ctx, http.MethodGet, "/api/v1/square", nil, nil, &text)
	return text, err
}

func (d *remoteDesk) Explain(ctx context.Context, cam string, at time.Time) (policy.Answer, error) {
	var a policy.Answer
	err := d.ask(ctx, http.MethodGet, "/api/v1/permits/explain", url.Values{"camera": {cam}, "at": {at.Format(time.RFC3339Nano)}}, nil, &a)
	return a, err
}

func loginCommand(std stdio) *cobra.Command {
	var server, name, passwordFile, tokenFile string
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Get a token of a server for other commands",
		Long: `login begins a session at a klarsyn serve and writes its token to a file of mode 0600, for commands with --server. The
session is the same as in a browser: 15 minutes idle, 8 hours at most.`,
		Example: "  klarsyn login --server https://square.example --name anna --password-file pw --token-file token",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			base, err := serverAddress(server)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(passwordFile)
			if err != nil {
				return usageError{fmt.Errorf("--password-file: %w", err)}
			}
			password, _, _ := strings.Cut(string(b), "\n")
			token, err := logIn(cmd.Context(), base, name, strings.TrimRight(password, "\r"))
			if err != nil {
				return err
			}
			if err := os.Remove(tokenFile); err != nil && !errors.Is(err, os.ErrNotExist) {
				return usageError{fmt.Errorf("--token-file: %w", err)}
			}
			if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
				return usageError{fmt.Errorf("--token-file: %w", err)}
			}
			fmt.Fprintf(std.out, "Logged in as %s; the token is in %s.\n", name, tokenFile)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&server, "server", "", "address of klarsyn serve (required)")
	f.StringVar(&name, "name", "", "account name (required)")
	f.StringVar(&passwordFile, "password-file", "", "file with the password on its first line (required)")
	f.StringVar(&tokenFile, "token-file", "", "file to write the token to (required)")
	for _, flag := range []string{"server", "name", "password-file", "token-file"} {
		require(cmd, flag)
	}
	return cmd
}

func logIn(ctx context.Context, base *url.URL, name, password string) (string, error) {
	body, err := json.Marshal(map[string]string{"user": name, "password": password})
	if err != nil {
		return "", err
	}
	u := *base
	u.Path = "/api/v1/login"
	_, cookies, err := send(ctx, remoteClient(), http.MethodPost, &u, http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return "", fmt.Errorf("logging in: %w", err)
	}
	for _, c := range cookies {
		if strings.HasSuffix(c.Name, "klarsyn") {
			return c.Value, nil
		}
	}
	return "", errors.New("the server gave no session: is it klarsyn serve?")
}
