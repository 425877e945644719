package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"klarsyn/policy/audit/witness"
)

func witnessCommand(std stdio) *cobra.Command {
	var cfg witness.Config
	var key, ca, metrics string
	var once bool
	cmd := &cobra.Command{
		Use: "witness", Short: "Watch a log from another machine, and vouch for it",
		Long: `witness follows the log of a Klarsyn from another machine, run by somebody whom its operator cannot command. It
remembers the newest checkpoint that it has seen, checks that each new one only adds to it, and cosigns it. It sees
hashes and signatures, no entry and no footage, and needs no account.

At its first start it makes a key of its own and prints the public half: the operator of the log adds that line to
witnesses in square.yaml, and auditors give it to klarsyn verify log --witness.

If the log forks or is set back, nothing is cosigned, both checkpoints are kept as evidence in the state directory, and
witness ends with exit code 1. Keep the state: a witness that forgot vouches for nothing.`,
		Example: "  klarsyn witness --log https://square.example/log --key audit.pub --state /var/lib/klarsyn-witness",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Keys, err = readKeys(key); err != nil {
				return err
			}
			if cfg.Client, err = trusting(ca); err != nil {
				return err
			}
			if cfg.Every < time.Second {
				return usageError{fmt.Errorf("--every %s: want at least 1s", cfg.Every)}
			}
			cfg.Logger = std.logger(slog.LevelInfo)
			warnOfPlain(cfg.Logger, cfg.Log)
			w, err := witness.Open(cfg)
			if errors.Is(err, witness.ErrAddress) {
				return usageError{fmt.Errorf("--log: %w", err)}
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(std.out, w.Public())
			if once {
				return errors.Join(w.Round(cmd.Context()), w.Close())
			}
			return errors.Join(watch(cmd.Context(), w, metrics), w.Close())
		},
	}
	cmd.Flags().StringVar(&cfg.Log, "log", "", "where the log is served, for example https://square.example/log (required)")
	cmd.Flags().StringVar(&key, "key", "", "file with the log's public key, its audit.pub (required)")
	cmd.Flags().StringVar(&cfg.State, "state", "", "directory in which the witness remembers; made if it is not there (required)")
	cmd.Flags().StringVar(&cfg.Name, "name", "", "name of the witness, when its state is made (default: witness/ and a random number)")
	cmd.Flags().DurationVar(&cfg.Every, "every", 10*time.Second, "how often it looks")
	cmd.Flags().StringVar(&ca, "ca", "", "file with the certificates that alone may vouch for the server (default: those of the system)")
	cmd.Flags().StringVar(&metrics, "metrics", "", "address to serve metrics on")
	cmd.Flags().BoolVar(&once, "once", false, "look once, and end")
	require(cmd, "log")
	require(cmd, "key")
	require(cmd, "state")
	return cmd
}

// watch runs the witness until ctx ends or the log is not what it was, with its metrics if an address was given.
func watch(ctx context.Context, w *witness.Witness, metrics string) error {
	g, gctx := errgroup.WithContext(ctx)
	watching, stop := context.WithCancel(gctx)
	defer stop()
	g.Go(func() error { defer stop(); return w.Run(watching) })
	if metrics != "" {
		registry := newRegistry()
		meterWitness(meter{registry}, w)
		g.Go(func() error { return serveMetrics(watching, metrics, registry) })
	}
	return g.Wait()
}

func meterWitness(m meter, w *witness.Witness) {
	m.counter("klarsyn_witness_rounds_total", "How often the witness looked at the log.", func() int64 { return w.Stats().Rounds })
	m.counter("klarsyn_witness_failures_total", "How often it could not, for reasons that pass.", func() int64 { return w.Stats().Failures })
	m.gauge("klarsyn_witness_alarm", "1 when the log is not what it was.", func() int64 {
		if w.Stats().Alarm {
			return 1
		}
		return 0
	})
	m.gauge("klarsyn_witness_entries", "Entries of the log when it was last seen.", func() int64 { return w.Stats().Size })
	for name, at := range map[string]func(witness.Stats) time.Time{
		"klarsyn_witness_seen_timestamp_seconds":       func(s witness.Stats) time.Time { return s.Seen },
		"klarsyn_witness_checkpoint_timestamp_seconds": func(s witness.Stats) time.Time { return s.Signed },
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: name, Help: "When the log was last seen to be what it must be, and when the checkpoint seen then was made; 0: never.",
		}, func() float64 {
			t := at(w.Stats())
			if t.IsZero() {
				return 0
			}
			return float64(t.UnixMicro()) / 1e6
		}))
	}
}

// trusting is a client that takes the word of those certificates alone, or of the system's.
func trusting(ca string) (*http.Client, error) {
	if ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, usageError{fmt.Errorf("--ca: %w", err)}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usageError{fmt.Errorf("--ca %s holds no certificate in PEM", ca)}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library says what it is
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}

// warnOfPlain says that whoever is in between can keep a fork from the witness.
func warnOfPlain(log *slog.Logger, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		log.Warn("without https whoever is in between decides what the witness sees: signatures keep it from being forged, not from being withheld")
	}
}
