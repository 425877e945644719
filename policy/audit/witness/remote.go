package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
)

// What a server may answer at most.
const (
	maxCheckpoint = 64 << 10
	maxTile       = leaf.Width * tlog.HashSize
	maxRotations  = 1 << 20
	askTimeout    = 20 * time.Second
)

// remote is the log as it is served.
type remote struct {
	base   *url.URL
	client *http.Client
}

// ErrAddress says that a log's address is none.
var ErrAddress = errors.New("want where the log is served, such as https://square.example/log")

func newRemote(address string, client *http.Client) (*remote, error) {
	base, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("%w; without login and parameters", ErrAddress)
	}
	if client == nil {
		client = &http.Client{}
	}
	careful := *client
	careful.Timeout = askTimeout
	careful.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Host != base.Host || r.URL.Scheme != base.Scheme || len(via) > 3 {
			return fmt.Errorf("it redirects to %s, which is another server", r.URL.Host)
		}
		return nil
	}
	return &remote{base, &careful}, nil
}

// get reads a file of the log, of at most so many bytes.
func (r *remote) get(ctx context.Context, name string, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base.String()+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for %s: the server answers %s", name, res.Status)
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", name, err)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("ask for %s: the answer has more than %d bytes", name, most)
	}
	return content, nil
}

// cosign tells the server what the witness says.
func (r *remote) cosign(ctx context.Context, signed []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base.String()+"/cosignatures", bytes.NewReader(signed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("leave the cosignature: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxCheckpoint)) // so that the connection can be used again
	switch res.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusForbidden:
		return errors.New("leave the cosignature: the server does not know this witness: add the line in witness.pub to witnesses in its square.yaml, and start klarsyn serve anew")
	}
	return fmt.Errorf("leave the cosignature: the server answers %s", res.Status)
}

// tiles reads tiles of hashes for tlog, which checks them.
type tiles struct {
	ctx    context.Context
	remote *remote
}

func (t *tiles) Height() int { return 8 }

func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range want {
		if tile.H != t.Height() || tile.L < 0 {
			return nil, fmt.Errorf("tile %v is not of this log", tile)
		}
		content, err := t.remote.get(t.ctx, leaf.Tile(tile.L, tile.N, tile.W), maxTile)
		if err != nil {
			return nil, err
		}
		all = append(all, content)
	}
	return all, nil
}

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}
