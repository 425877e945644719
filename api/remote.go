package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// remoteOf is the client's address: that of the connection, or, where a trusted proxy is at its other
// end, the rightmost of X-Forwarded-For that belongs to no trusted proxy. What stands left of that the
// client may have written itself, to forge the audit log or to get rid of its failed logins; so may every
// client where no proxy is trusted.
func (s *Server) remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	at = at.Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(at); i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break // the nearest proxy that can be believed saw nothing better
		}
		at = hop
	}
	return at.String()
}

// trusted reports whether the address is that of a proxy which says truly whom it speaks for.
func (s *Server) trusted(at netip.Addr) bool {
	for _, p := range s.cfg.Proxies {
		if p.Contains(at.WithZone("")) {
			return true
		}
	}
	return false
}

// parseHop reads an address as proxies write it: with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if at, err := netip.ParseAddr(s); err == nil {
		return at.Unmap(), true
	}
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

// fromThisMachine reports whether a program on this machine asks for itself: not a proxy here that speaks
// for somebody else, and not a page elsewhere whose host name was made to point here.
func (s *Server) fromThisMachine(r *http.Request) bool {
	if s.cfg.Proxied || len(s.cfg.Proxies) > 0 || !loopbackHost(r.Host) {
		return false
	}
	for _, h := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// loopbackHost reports whether a Host header names this machine to itself.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	at, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && at.Unmap().IsLoopback()
}
