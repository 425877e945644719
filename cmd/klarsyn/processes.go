package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"klarsyn/policy/identity"
	"klarsyn/retention/object/s3"
)

// common are the flags that every process of a square has.
type common struct {
	data, config, metrics string
	addresses             addresses
	trustClock            bool
}

func (c *common) flags(cmd *cobra.Command) {
	c.optionalFlags(cmd)
	require(cmd, "data")
}

// optionalFlags are the same for a command that may do without a data directory.
func (c *common) optionalFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.data, "data", "", "data directory, made by klarsyn init")
	cmd.Flags().StringVar(&c.config, "config", "", "configuration file (default: square.yaml in the data directory)")
	cmd.Flags().BoolVar(&c.trustClock, "trust-clock", false, "the operator's word that a system clock which leapt ahead is right")
	c.addresses.flags(cmd)
}

func (c *common) open(ctx context.Context, std stdio, rights s3.Right, signing bool) (*site, error) {
	return openSite(ctx, siteOptions{
		data: c.data, config: c.config, addresses: c.addresses, rights: rights, trustClock: c.trustClock, signing: signing, logger: std.logger(slog.LevelInfo),
	})
}

// part is a process that works behind the scenes and counts what it does.
type part interface {
	run(ctx context.Context) error
	meter(m meter)
}

// work opens the data directory and runs one part over it, with its metrics if an address was given.
func (c *common) work(ctx context.Context, std stdio, rights s3.Right, open func(context.Context, *site) (part, error)) error {
	s, err := c.open(ctx, std, rights, rights == s3.Erase) // who deletes numbers the log
	if err != nil {
		return err
	}
	p, err := open(ctx, s)
	if err != nil {
		return errors.Join(err, s.close())
	}
	registry := newRegistry()
	s.meter(meter{registry})
	p.meter(meter{registry})
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.run(gctx) })
	g.Go(func() error { return s.watchSquare(gctx) })
	if c.metrics != "" {
		g.Go(func() error { return serveMetrics(gctx, c.metrics, registry) })
	}
	return errors.Join(g.Wait(), s.close())
}

func initCommand(std stdio) *cobra.Command {
	var data string
	var a addresses
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a data directory: folders, master key, signing key, databases",
		Long: `init makes a data directory and a commented configuration to fill in. It replaces nothing, so it may
be repeated. With --catalogue and --keys, as the owner of those databases, it makes their tables, and brings
them up to date when Klarsyn has grown.`,
		Example: "  klarsyn init --data /var/lib/klarsyn\n" +
			"  klarsyn init --data /var/lib/klarsyn --catalogue postgres://klarsyn@db/klarsyn --keys postgres://klarsyn@db/klarsyn_keys",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := layout{data}
			if err := a.check(); err != nil {
				return usageError{err}
			}
			if err := initSite(cmd.Context(), l, a); err != nil {
				return err
			}
			if err := writeExample(l.config()); err != nil {
				return err
			}
			fmt.Fprintf(std.out, `Made %s. Next:
  1. describe cameras and permits in %s
  2. klarsyn apply -f %[2]s --data %[1]s
  3. klarsyn retain --data %[1]s   (keys, deletion, log)
  4. klarsyn ingest --data %[1]s   (recording, counting)
  5. klarsyn account add --data %[1]s --name anna --role investigator
  6. klarsyn serve --data %[1]s    (web and API)
`, data, l.config())
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data directory to make (required)")
	a.flags(cmd)
	require(cmd, "data")
	return cmd
}

func ingestCommand(std stdio) *cobra.Command {
	var c common
	var vision string
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Record and count the cameras of a square",
		Long: `ingest pulls the cameras by RTSP, seals what they send before it touches a disk, and stores it. It
holds public keys only: it cannot read back what it wrote.`,
		Example: "  klarsyn ingest --data /var/lib/klarsyn --metrics 127.0.0.1:9101",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.work(cmd.Context(), std, s3.Put, func(ctx context.Context, s *site) (part, error) {
				return openIngest(ctx, s, vision, nil)
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&c.metrics, "metrics", "", "address for Prometheus metrics, such as 127.0.0.1:9101 (default: none)")
	cmd.Flags().StringVar(&vision, "vision", "", "klarsyn-vision to start (default: beside this executable)")
	return cmd
}

func retainCommand(std stdio) *cobra.Command {
	var c common
	var r reaping
	cmd := &cobra.Command{
		Use:   "retain",
		Short: "Delete on time, mint day keys, number the audit log",
		Long: `retain deletes what is due and proves it, mints the day keys that recording seals to and destroys
those that nothing needs any more, and numbers and signs the audit log. It can open no footage.`,
		Example: "  klarsyn retain --data /var/lib/klarsyn --metrics 127.0.0.1:9102",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.work(cmd.Context(), std, s3.Erase, func(ctx context.Context, s *site) (part, error) {
				return openRetain(ctx, s, r), nil
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&c.metrics, "metrics", "", "address for Prometheus metrics, such as 127.0.0.1:9102 (default: none)")
	cmd.Flags().DurationVar(&r.age, "stray-age", time.Hour, "how old an object without a clip must be to be removed")
	cmd.Flags().DurationVar(&r.every, "stray-every", 10*time.Minute, "time between two searches for objects without a clip")
	return cmd
}

func serveCommand(std stdio) *cobra.Command {
	var c common
	var f reachFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer people and programs: web page and API",
		Long: `serve answers on HTTP: counts, clips, deletions, the log. It is the one process that can open
footage, and it opens none without a logged grant. On a loopback address it may speak plain HTTP;
elsewhere it speaks TLS with --tls-cert and --tls-key, or stands --behind-tls of a proxy that does.
Name the proxy's network as --trusted-proxy, or the log names the proxy for everybody.`,
		Example: "  klarsyn serve --data /var/lib/klarsyn --listen 127.0.0.1:8080\n" +
			"  klarsyn serve --data /var/lib/klarsyn --listen 127.0.0.1:8080 --behind-tls --trusted-proxy 127.0.0.1/32\n" +
			"  klarsyn serve --data /var/lib/klarsyn --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			how, err := f.reach()
			if err != nil {
				return err
			}
			return c.serve(cmd.Context(), std, f.listen, how)
		},
	}
	c.flags(cmd)
	f.flags(cmd)
	cmd.Flags().StringVar(&c.metrics, "metrics", "", "address for Prometheus metrics alone, such as 127.0.0.1:9103 (default: none)")
	return cmd
}

// serve runs a server until ctx ends, with its metrics if an address was given.
func (c *common) serve(ctx context.Context, std stdio, addr string, how reach) error {
	s, err := c.open(ctx, std, s3.Get, false)
	if err != nil {
		return err
	}
	registry := newRegistry()
	s.meter(meter{registry})
	sv, err := openServeFor(ctx, s, registry, how)
	if err != nil {
		return errors.Join(err, s.close())
	}
	l, err := listen(ctx, addr)
	if err != nil {
		return errors.Join(err, sv.closeKeys(), s.close())
	}
	scheme := "http"
	if how.tls != nil {
		scheme = "https"
	}
	if how.behindTLS && len(how.proxies) == 0 {
		s.logger.Warn("no --trusted-proxy is given: the log and the login see the proxy's address for everybody")
	}
	fmt.Fprintf(std.out, "Klarsyn serves %s://%s\n", scheme, l.Addr())
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sv.run(gctx, l) })
	g.Go(func() error { return s.watchSquare(gctx) })
	if c.metrics != "" {
		g.Go(func() error { return serveMetrics(gctx, c.metrics, registry) })
	}
	return errors.Join(g.Wait(), s.close())
}

func simCommand(std stdio) *cobra.Command {
	o := simOptions{}
	var passwordFile string
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Serve simulated cameras by RTSP",
		Long: `sim serves a synthetic square, or recorded files, as RTSP cameras with digest authentication, for
trying Klarsyn and for tests. Every picture carries the marker KLARSYN-CANARY-1, so that plaintext can
be searched for.`,
		Example: "  klarsyn sim --cameras 3 --listen 127.0.0.1:8554\n  klarsyn sim --cameras 0 --video square.mp4 --password-file cam.password",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.cameras < 0 || o.cameras > 16 || o.cameras+len(o.videos) == 0 {
				return usageError{fmt.Errorf("--cameras is %d with %d videos: want 1 to 16 cameras, or at least one --video", o.cameras, len(o.videos))}
			}
			o.password = identity.NewPassword()
			if passwordFile != "" {
				b, err := os.ReadFile(passwordFile)
				if err != nil {
					return usageError{fmt.Errorf("--password-file: %w", err)}
				}
				if o.password = strings.TrimSpace(string(b)); o.password == "" {
					return usageError{fmt.Errorf("--password-file %s is empty: write the cameras' password on its first line", passwordFile)}
				}
			}
			o.logger = std.logger(slog.LevelInfo)
			s, err := openSimulation(o)
			if err != nil {
				return err
			}
			for _, cam := range s.cameras {
				fmt.Fprintf(std.out, "%s  %s\n", cam.ID, cam.URL)
			}
			if passwordFile == "" {
				fmt.Fprintf(std.out, "login: %s  password: %s\n", simUser, o.password)
			}
			return s.run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&o.cameras, "cameras", 3, "how many drawn cameras")
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8554", "address to serve on")
	cmd.Flags().StringArrayVar(&o.videos, "video", nil, "MP4 file with H.264 to loop as a further camera (may be repeated)")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "file with the cameras' password (default: a random one, printed)")
	cmd.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the first drawn camera")
	cmd.Flags().StringVar(&o.vision, "vision", "", "klarsyn-vision to start (default: beside this executable)")
	return cmd
}

func versionCommand(std stdio) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print what this build is", Example: "  klarsyn version", Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return printVersion(std.out) },
	}
}

func printVersion(w io.Writer) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this build carries no information about itself")
	}
	_, err := fmt.Fprintf(w, "klarsyn %s, %s\n", info.Main.Version, info.GoVersion)
	return err
}
