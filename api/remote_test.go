package api

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"klarsyn/policy"
)

// The log must hold the client's address, and nobody may choose it.
func TestRemoteAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, conn string
		forwarded  []string
		proxies    []string
		want       string
	}{
		{"no proxy", "192.0.2.7:4711", nil, nil, "192.0.2.7"},
		{"no proxy is trusted", "192.0.2.7:4711", []string{"203.0.113.1"}, nil, "192.0.2.7"},
		{"a trusted proxy", "10.0.0.2:80", []string{"203.0.113.1"}, []string{"10.0.0.0/24"}, "203.0.113.1"},
		{"somebody else in its place", "192.0.2.7:80", []string{"203.0.113.1"}, []string{"10.0.0.0/24"}, "192.0.2.7"},
		{"what the client wrote before it", "10.0.0.2:80", []string{"127.0.0.1, 203.0.113.1"}, []string{"10.0.0.0/24"}, "203.0.113.1"},
		{"in a line of its own", "10.0.0.2:80", []string{"127.0.0.1", "203.0.113.1"}, []string{"10.0.0.0/24"}, "203.0.113.1"},
		{"two proxies", "10.0.0.2:80", []string{"127.0.0.1,203.0.113.1, 10.0.0.9"}, []string{"10.0.0.0/24"}, "203.0.113.1"},
		{"proxies all the way", "10.0.0.2:80", []string{"10.0.0.8, 10.0.0.9"}, []string{"10.0.0.0/24"}, "10.0.0.8"},
		{"a proxy that says nothing", "10.0.0.2:80", nil, []string{"10.0.0.0/24"}, "10.0.0.2"},
		{"a proxy that says nonsense", "10.0.0.2:80", []string{"203.0.113.1, unknown"}, []string{"10.0.0.0/24"}, "10.0.0.2"},
		{"nonsense behind the second", "10.0.0.2:80", []string{"<script>, 10.0.0.9"}, []string{"10.0.0.0/24"}, "10.0.0.9"},
		{"with a port", "10.0.0.2:80", []string{"203.0.113.1:5555"}, []string{"10.0.0.2/32"}, "203.0.113.1"},
		{"IPv6 with a port", "[fd00::2]:80", []string{"[2001:db8::7]:5555"}, []string{"fd00::/8"}, "2001:db8::7"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.2]:80", []string{"::ffff:203.0.113.1"}, []string{"10.0.0.0/24"}, "203.0.113.1"},
		{"a link-local proxy", "[fe80::1%eth0]:80", []string{"203.0.113.1"}, []string{"fe80::/10"}, "203.0.113.1"},
		{"no address at all", "@", []string{"203.0.113.1"}, []string{"10.0.0.0/24"}, ""},
	} {
		s := &Server{}
		for _, p := range tt.proxies {
			s.cfg.Proxies = append(s.cfg.Proxies, netip.MustParsePrefix(p))
		}
		r := &http.Request{RemoteAddr: tt.conn, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
		if got := s.remoteOf(r); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Metrics are open to a scraper on this machine alone: not to a page whose host name was made to point
// here, and not to whoever comes through a proxy here, whether or not it says so.
func TestMetricsOnlyForThisMachineOrOperators(t *testing.T) {
	t.Parallel()
	asIs := func(*Config) {}
	for name, tt := range map[string]struct {
		change  func(*Config)
		host    string
		header  []string
		remote  string
		machine bool
	}{
		"a scraper here":             {asIs, "127.0.0.1:8080", nil, "127.0.0.1:1", true},
		"by name":                    {asIs, "localhost", nil, "127.0.0.1:1", true},
		"by IPv6":                    {asIs, "[::1]:8080", nil, "[::1]:1", true},
		"from elsewhere":             {asIs, "127.0.0.1:8080", nil, "192.0.2.7:1", false},
		"a rebound host name":        {asIs, "evil.example:8080", nil, "127.0.0.1:1", false},
		"a public address":           {asIs, "192.0.2.1", nil, "127.0.0.1:1", false},
		"no host":                    {asIs, "", nil, "127.0.0.1:1", false},
		"a proxy that says so":       {asIs, "127.0.0.1:8080", []string{"X-Forwarded-For", "192.0.2.1"}, "127.0.0.1:1", false},
		"behind a proxy":             {func(c *Config) { c.Proxied = true }, "127.0.0.1:8080", nil, "127.0.0.1:1", false},
		"behind a proxy it believes": {func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")} }, "127.0.0.1:8080", nil, "127.0.0.1:1", false},
	} {
		w := newWorld(t)
		tt.change(&w.cfg)
		w.start()
		for role, want := range map[policy.Role]int{"": 401, policy.Auditor: 403, policy.Operator: 200} {
			if tt.machine {
				want = 200
			}
			r := httptest.NewRequest("GET", "/metrics", nil)
			r.Host, r.RemoteAddr = tt.host, tt.remote
			for i := 0; i+1 < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			r.Header.Set("Cookie", w.as(role).cookie)
			rec := httptest.NewRecorder()
			w.server.ServeHTTP(rec, r)
			if rec.Code != want {
				t.Errorf("%s, %q: %d, want %d", name, role, rec.Code, want)
			}
		}
	}
}
