package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/cobra"
)

// reach is how people reach serve. The zero value is plain HTTP on this machine.
type reach struct {
	tls       *tls.Config // serve speaks TLS itself
	behindTLS bool        // a proxy that does stands before it
	proxies   []netip.Prefix
}

func (r reach) encrypted() bool { return r.tls != nil || r.behindTLS }

// listener speaks TLS on l if that is this process's own work.
func (r reach) listener(l net.Listener) net.Listener {
	if r.tls == nil {
		return l
	}
	return tls.NewListener(l, r.tls)
}

// reachFlags are the flags that say so.
type reachFlags struct {
	listen, cert, key string
	behindTLS         bool
	proxies           []string
}

func (f *reachFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "address to serve on; other than on the loopback it needs TLS")
	cmd.Flags().StringVar(&f.cert, "tls-cert", "", "PEM file with the certificate chain: serve TLS itself (restart when it is renewed)")
	cmd.Flags().StringVar(&f.key, "tls-key", "", "PEM file with the certificate's private key")
	cmd.Flags().BoolVar(&f.behindTLS, "behind-tls", false, "a proxy that speaks TLS with clients stands before this address")
	cmd.Flags().StringArrayVar(&f.proxies, "trusted-proxy", nil, "network of proxies whose X-Forwarded-For names the client, such as 10.0.0.2/32 (may be repeated; default: none)")
}

// reach checks the flags. Its errors are of wrong use.
func (f *reachFlags) reach() (reach, error) {
	r := reach{behindTLS: f.behindTLS}
	if (f.cert == "") != (f.key == "") {
		return reach{}, usageError{errors.New("--tls-cert and --tls-key belong together: give both, or neither")}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return reach{}, usageError{fmt.Errorf("--tls-cert %s with --tls-key %s: %w", f.cert, f.key, err)}
		}
		r.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	}
	for _, text := range f.proxies {
		p, err := network(text)
		if err != nil {
			return reach{}, usageError{fmt.Errorf("--trusted-proxy %q: %w", text, err)}
		}
		r.proxies = append(r.proxies, p)
	}
	if !r.encrypted() && !onLoopback(f.listen) {
		return reach{}, usageError{fmt.Errorf("--listen %s is not on the loopback: passwords and footage would cross the network in the clear; "+
			"give --tls-cert and --tls-key, or put a TLS proxy before it and say so with --behind-tls", f.listen)}
	}
	return r, nil
}

// network reads a network, or an address as the network of it alone.
func network(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if at, addrErr := netip.ParseAddr(text); addrErr == nil {
		p, err = at.Unmap().WithZone("").Prefix(at.Unmap().BitLen())
	}
	switch {
	case err != nil:
		return p, errors.New("not a network: want for example 10.0.0.0/24")
	case p.Bits() == 0:
		return p, errors.New("it would let everybody choose the address that is logged: name the proxies alone")
	}
	return p.Masked(), nil
}

// onLoopback reports whether nobody but this machine reaches an address. A name other than localhost may
// come to mean anything.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	at, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && at.Unmap().IsLoopback())
}
