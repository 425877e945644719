package main

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// What would send passwords or footage in the clear, or let anybody choose the address that is logged, is
// refused before anything is opened.
func TestHowServeMayBeReached(t *testing.T) {
	cert, key, _, _ := certified(t)
	nets := func(texts ...string) []netip.Prefix {
		var all []netip.Prefix
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	for _, c := range []struct {
		args    []string
		refused string
		proxies []netip.Prefix
	}{
		{nil, "", nil},
		{[]string{"--listen", "127.0.0.9:80"}, "", nil},
		{[]string{"--listen", "[::1]:80"}, "", nil},
		{[]string{"--listen", "localhost:80"}, "", nil},
		{[]string{"--listen", "0.0.0.0:80"}, "--behind-tls", nil},
		{[]string{"--listen", "0.0.0.0:80"}, "--tls-cert and --tls-key", nil},
		{[]string{"--listen", ":80"}, "--behind-tls", nil},
		{[]string{"--listen", "[::]:80"}, "--behind-tls", nil},
		{[]string{"--listen", "192.0.2.1:80"}, "--behind-tls", nil},
		{[]string{"--listen", "square.example:80"}, "--behind-tls", nil},
		{[]string{"--listen", "0.0.0.0:80", "--trusted-proxy", "10.0.0.2"}, "--behind-tls", nil},
		{[]string{"--listen", "0.0.0.0:80", "--behind-tls"}, "", nil},
		{[]string{"--listen", "0.0.0.0:80", "--tls-cert", cert, "--tls-key", key}, "", nil},
		{[]string{"--tls-cert", cert}, "belong together", nil},
		{[]string{"--tls-key", key}, "belong together", nil},
		{[]string{"--tls-cert", cert, "--tls-key", "/nowhere"}, "/nowhere", nil},
		{[]string{"--tls-cert", cert, "--tls-key", cert}, cert, nil},
		{[]string{"--trusted-proxy", "10.0.0.2", "--trusted-proxy", "10.1.0.9/16", "--trusted-proxy", "fd00::1"}, "", nets("10.0.0.2/32", "10.1.0.0/16", "fd00::1/128")},
		{[]string{"--trusted-proxy", "proxy.example"}, "proxy.example", nil},
		{[]string{"--trusted-proxy", "0.0.0.0/0"}, "everybody", nil},
	} {
		var f reachFlags
		cmd := serveCommand(stdio{&bytes.Buffer{}, &bytes.Buffer{}})
		cmd.ResetFlags()
		f.flags(cmd)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		how, err := f.reach()
		if (err == nil) != (c.refused == "") || (err != nil && !strings.Contains(err.Error(), c.refused)) || !slices.Equal(how.proxies, c.proxies) {
			t.Errorf("%v: %+v, error %v, want %q", c.args, how, err, c.refused)
		}
		if err == nil {
			continue
		}
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"serve", "--data", "/nowhere"}, c.args...), stdio{&out, &errs}); code != exitUsage || !strings.Contains(errs.String(), c.refused) {
			t.Errorf("klarsyn serve %v: exit %d, says %q", c.args, code, errs.String())
		}
	}
}
