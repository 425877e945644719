package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"time"

	"klarsyn/policy"
)

// tour shows a newcomer what a look is: an investigator with purpose and case number gets one clip, a
// dashboard viewer gets none. Both go through the API like anybody else, and both stand in the log.
func (d *demo) tour(ctx context.Context) error {
	base := "http://" + d.listener.Addr().String()
	clip, err := d.firstClip(ctx, base)
	if err != nil || clip == "" {
		return d.tourFailed(ctx, err)
	}
	path := "/api/v1/clips/" + clip + "/media?" + url.Values{"purpose": {policy.CrimeInvestigation}, "case": {"DEMO-0001-26"}}.Encode()
	for _, role := range []policy.Role{policy.Investigator, policy.DashboardViewer} {
		visitor, err := d.logIn(ctx, base, role)
		if err != nil {
			return d.tourFailed(ctx, err)
		}
		resp, err := get(ctx, visitor, base+path)
		if err != nil {
			return d.tourFailed(ctx, err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return d.tourFailed(ctx, err)
		}
		outcome := fmt.Sprintf("refused (%d)", resp.StatusCode)
		if resp.StatusCode == http.StatusOK {
			outcome = fmt.Sprintf("granted and logged before the first byte; %d bytes of video", n)
		}
		fmt.Fprintf(d.std.out, "look      %-17s clip %s: %s\n", role, clip, outcome)
	}
	return nil
}

// tourFailed says so without stopping the square.
func (d *demo) tourFailed(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		d.site.logger.Error("the tour could not be finished", "err", err)
	}
	return nil
}

// firstClip waits until an investigator finds a clip that is stored.
func (d *demo) firstClip(ctx context.Context, base string) (string, error) {
	visitor, err := d.logIn(ctx, base, policy.Investigator)
	if err != nil {
		return "", err
	}
	query := url.Values{"camera": {d.site.current.now().Cameras[0].ID}, "from": {d.began.Add(-time.Minute).Format(time.RFC3339)}}
	for {
		resp, err := get(ctx, visitor, base+"/api/v1/clips?"+query.Encode())
		if err != nil {
			return "", err
		}
		var found struct {
			Clips []struct{ ID, State string } `json:"clips"`
		}
		err = json.NewDecoder(resp.Body).Decode(&found)
		resp.Body.Close()
		if err != nil {
			return "", fmt.Errorf("listing clips: %w", err)
		}
		for _, c := range found.Clips {
			if c.State == "committed" {
				return c.ID, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", nil
		case <-time.After(time.Second):
		}
	}
}

// logIn is a client with a session of the demo's account of a role.
func (d *demo) logIn(ctx context.Context, base string, role policy.Role) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	visitor := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	for _, l := range d.logins {
		if l.Role != role {
			continue
		}
		body, err := json.Marshal(map[string]string{"user": l.Name, "password": l.Password})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/login", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := visitor.Do(req)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("login as %s: %s", l.Name, resp.Status)
		}
		return visitor, nil
	}
	return nil, fmt.Errorf("the demo has no account for role %s", role)
}

func get(ctx context.Context, c *http.Client, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return c.Do(req)
}
