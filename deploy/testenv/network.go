package testenv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is a TCP connection's way that can be made bad.
type Link struct {
	Address string
	proxy   *toxiproxy.Proxy
}

// NewLink leads to address until the test ends.
func NewLink(t testing.TB, address string) *Link {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // its toxics log to a logger of their own
	here := Address(t)
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), t.Name(), here, address)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &Link{Address: here, proxy: p}
}

// Add makes the link bad for what comes from the server: a kind of toxiproxy's, such as timeout, reset_peer or
// bandwidth, with its attributes as JSON.
func (l *Link) Add(t testing.TB, kind, attributes string) {
	t.Helper()
	toxic := fmt.Sprintf(`{"name": %q, "type": %q, "stream": "downstream", "attributes": %s}`, kind, kind, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatal(err)
	}
}

// Mend makes the link good again.
func (l *Link) Mend() { l.proxy.Toxics.ResetToxics(context.Background()) }

// Relay stands between an RTSP client and its server, and loses and reorders the pictures that the server sends by
// UDP. The conversation itself passes whole.
type Relay struct {
	Address string
	server  string

	mu            sync.Mutex
	loss, reorder float64
	ends          []io.Closer
	closed        bool
	running       sync.WaitGroup
}

// NewRelay leads to the server at address until the test ends.
func NewRelay(t testing.TB, address string) *Relay {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Address: l.Addr().String(), server: address}
	r.keep(l)
	r.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.converse(client) })
		}
	})
	t.Cleanup(func() {
		r.mu.Lock()
		r.closed = true
		for _, c := range r.ends {
			c.Close()
		}
		r.mu.Unlock()
		r.running.Wait()
	})
	return r
}

// Lose makes the relay lose a share of the packets, and send a share of them after the next one.
func (r *Relay) Lose(loss, reorder float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loss, r.reorder = loss, reorder
}

func (r *Relay) fate() (lost, late bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return rand.Float64() < r.loss, rand.Float64() < r.reorder
}

// keep closes c when the test ends, or at once if it has ended.
func (r *Relay) keep(c io.Closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
	}
	r.ends = append(r.ends, c)
}

// converse passes one connection on, with the UDP ports of its SETUPs exchanged for ours.
func (r *Relay) converse(client net.Conn) {
	r.keep(client)
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.server)
	if err != nil {
		client.Close()
		return
	}
	r.keep(server)
	lanes := make(chan *lane, 8) // of SETUPs whose answer has not come yet
	r.running.Go(func() {
		defer server.Close()
		pass(client, server, func(transport string) string {
			m := clientPort.FindStringSubmatch(transport)
			if m == nil {
				return transport
			}
			l, err := r.open(m[1])
			if err != nil {
				return transport
			}
			lanes <- l
			return clientPort.ReplaceAllString(transport, "client_port="+pair(l.toServer))
		})
	})
	defer client.Close()
	pass(server, client, func(transport string) string {
		m := serverPort.FindStringSubmatch(transport)
		if m == nil {
			return transport
		}
		l := <-lanes
		l.run(r, m[1])
		transport = serverPort.ReplaceAllString(transport, "server_port="+pair(l.toClient))
		return clientPort.ReplaceAllString(transport, "client_port="+l.client+"-"+next(l.client))
	})
}

var (
	clientPort = regexp.MustCompile(`client_port=(\d+)-\d+`)
	serverPort = regexp.MustCompile(`server_port=(\d+)-\d+`)
)

// pass copies RTSP messages, with their Transport headers changed.
func pass(from, to net.Conn, change func(string) string) {
	in := bufio.NewReader(from)
	for {
		length := 0
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			name, value, _ := strings.Cut(line, ":")
			switch textproto.CanonicalMIMEHeaderKey(name) {
			case "Transport":
				line = name + ":" + change(value)
			case "Content-Length":
				length, _ = strconv.Atoi(strings.TrimSpace(value)) // 0 if it is no number
			}
			if _, err := io.WriteString(to, line); err != nil {
				return
			}
			if strings.TrimSpace(line) == "" {
				break
			}
		}
		if _, err := io.CopyN(to, in, int64(length)); err != nil {
			return
		}
	}
}

// lane is the UDP way of one track: a pair of ports towards the server and one towards the client, for RTP and RTCP.
type lane struct {
	client             string // the client's RTP port
	toServer, toClient [2]*net.UDPConn
}

func (r *Relay) open(client string) (*lane, error) {
	l := &lane{client: client}
	for _, side := range []*[2]*net.UDPConn{&l.toServer, &l.toClient} {
		two, err := listenPair()
		if err != nil {
			return nil, err
		}
		*side = two
		r.keep(two[0])
		r.keep(two[1])
	}
	return l, nil
}

func (l *lane) run(r *Relay, server string) {
	for i, ports := range [2][2]string{{l.client, server}, {next(l.client), next(server)}} {
		client, server := local(ports[0]), local(ports[1])
		r.running.Go(func() { forward(l.toServer[i], l.toClient[i], client, r.fate, i == 0) })
		r.running.Go(func() { forward(l.toClient[i], l.toServer[i], server, r.fate, false) })
	}
}

// forward passes packets from one socket on through another; lossy ones may be lost, or come after the next.
func forward(from, through *net.UDPConn, to *net.UDPAddr, fate func() (bool, bool), lossy bool) {
	b := make([]byte, 65536)
	var late []byte
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		lost, behind := false, false
		if lossy {
			lost, behind = fate()
		}
		if lost {
			continue
		}
		if behind && late == nil {
			late = append([]byte(nil), b[:n]...)
			continue
		}
		through.WriteToUDP(b[:n], to) // UDP loses packets; that is what this is about
		if late != nil {
			through.WriteToUDP(late, to)
			late = nil
		}
	}
}

// listenPair listens on two ports in a row, as RTP and RTCP want them.
func listenPair() (two [2]*net.UDPConn, err error) {
	for range 100 {
		if two[0], err = net.ListenUDP("udp", local("0")); err != nil {
			return two, err
		}
		port := two[0].LocalAddr().(*net.UDPAddr).Port
		if two[1], err = net.ListenUDP("udp", local(strconv.Itoa(port+1))); err == nil && port%2 == 0 {
			return two, nil
		}
		two[0].Close()
		if err == nil {
			two[1].Close()
		}
	}
	return two, fmt.Errorf("no two free UDP ports in a row: %w", err)
}

func pair(two [2]*net.UDPConn) string {
	port := strconv.Itoa(two[0].LocalAddr().(*net.UDPAddr).Port)
	return port + "-" + next(port)
}

func next(port string) string {
	n, _ := strconv.Atoi(port) // it was matched as digits
	return strconv.Itoa(n + 1)
}

func local(port string) *net.UDPAddr {
	n, _ := strconv.Atoi(port) // it was matched as digits
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n}
}
