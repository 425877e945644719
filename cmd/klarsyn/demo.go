package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/identity"
	"klarsyn/retention/object/s3"
)

// demoOptions are the demo's flags.
type demoOptions struct {
	data, listen, credentials, summary, vision string
	clip, retention, duration                  time.Duration
	cameras                                    []string // real cameras beside the simulated ones
	videos                                     []string
	tour                                       bool
	trustClock                                 bool
	minFree                                    int64
	addresses                                  addresses
	wall                                       func() time.Time
	logLevel                                   slog.Level
}

func demoCommand(std stdio) *cobra.Command {
	var o demoOptions
	var verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a whole square: simulated cameras, recording, counting, looking, forgetting",
		Long: `demo runs serve, ingest and retain in one process over embedded defaults, with three simulated
cameras of a square. It prints an address and three logins, shows what goes on every ten seconds, and
ends on Ctrl-C with a summary. Footage lives for --retention and is then gone, provably.`,
		Example: "  klarsyn demo\n  klarsyn demo --for 180s --retention 60s\n  klarsyn demo --data ./square --camera rtsp://USER:PASSWORD@192.0.2.7/stream1",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.logLevel = slog.LevelWarn
			if verbose {
				o.logLevel = slog.LevelInfo
			}
			if err := o.check(); err != nil {
				return usageError{err}
			}
			return runDemo(cmd.Context(), o, std)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "data directory; kept, and used again (default: a new temporary one, removed at the end)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of web page and API")
	f.DurationVar(&o.duration, "for", 0, "stop by itself after this long (default: run until Ctrl-C)")
	f.DurationVar(&o.clip, "clip", 5*time.Second, "length of a clip")
	f.DurationVar(&o.retention, "retention", 2*time.Minute, "how long footage is kept")
	f.StringArrayVar(&o.cameras, "camera", nil, "a real camera to record beside the simulated ones, rtsp://[USER:PASSWORD@]HOST/PATH (may be repeated)")
	f.StringArrayVar(&o.videos, "video", nil, "MP4 file with H.264 to loop as a further camera (may be repeated)")
	f.StringVar(&o.credentials, "credentials", "", "write address and logins to this file as JSON, mode 0600")
	f.StringVar(&o.summary, "summary", "", "write the summary to this file as JSON")
	f.StringVar(&o.vision, "vision", "", "klarsyn-vision to start (default: beside this executable)")
	f.BoolVar(&o.tour, "tour", true, "show one granted and one denied look, made through the API")
	f.BoolVar(&o.trustClock, "trust-clock", false, "the operator's word that a system clock which leapt ahead is right")
	f.Int64Var(&o.minFree, "min-free", 64, "MiB that recording leaves free on the disk")
	o.addresses.flags(cmd)
	f.BoolVarP(&verbose, "verbose", "v", false, "log what goes well, too")
	return cmd
}

func (o *demoOptions) check() error {
	if o.clip < time.Second || o.clip > 10*time.Minute {
		return fmt.Errorf("--clip is %s: want 1s to 10m", o.clip)
	}
	if o.retention < 2*o.clip {
		return fmt.Errorf("--retention is %s: want at least two clips of %s", o.retention, o.clip)
	}
	if o.retention%time.Second != 0 {
		return fmt.Errorf("--retention is %s: want whole seconds", o.retention)
	}
	if err := o.addresses.check(); err != nil {
		return err
	}
	if o.duration < 0 {
		return fmt.Errorf("--for is %s: want a positive time, or leave it out", o.duration)
	}
	return nil
}

// demo is a running square.
type demo struct {
	o         demoOptions
	std       stdio
	layout    layout
	site      *site
	sim       *simulation
	ingest    *ingest
	retain    *retain
	serve     *serve
	listener  net.Listener
	logins    []login
	errors    *countErrors
	began     time.Time  // by the clock that footage bears
	logged    time.Time  // the same instant by the clock that the log bears
	temporary *temporary // nil: the data directory was given, and is kept
}

// login is one printed account.
type login struct {
	Name     string      `json:"name"`
	Role     policy.Role `json:"role"`
	Password string      `json:"password"`
}

// demoMark begins a configuration that a demo wrote and may write again.
const demoMark = "# Written by klarsyn demo; the next demo over this directory writes it anew.\n"

// demoPermit is the permit that a demo records under.
const demoPermit = "demo"

func runDemo(ctx context.Context, o demoOptions, std stdio) (err error) {
	d := &demo{o: o, std: std, errors: newCountErrors()}
	defer func() {
		if d.temporary != nil {
			err = errors.Join(err, d.temporary.remove())
		}
	}()
	if err := d.open(ctx); err != nil {
		return err
	}
	d.greet()
	runErr := d.run(ctx)
	sum, sumErr := d.summarise(context.WithoutCancel(ctx))
	closeErr := d.site.close()
	if err := errors.Join(runErr, sumErr, closeErr); err != nil {
		return err
	}
	return d.report(sum)
}

// open makes everything ready; nothing is recorded yet.
func (d *demo) open(ctx context.Context) (err error) {
	o := d.o
	if o.data == "" {
		removeAbandoned(d.std)
		if d.temporary, err = makeTemporary(); err != nil {
			return err
		}
		o.data = d.temporary.folder
	}
	d.layout = layout{o.data}
	logger := d.std.logger(o.logLevel)
	// The address is taken first: a port in use must not cost a half-made square.
	if d.listener, err = listen(ctx, o.listen); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			d.listener.Close()
		}
	}()
	// An installation that is no demo is left alone, before a byte is written into it.
	if old, err := os.ReadFile(d.layout.config()); err == nil && !bytes.HasPrefix(old, []byte(demoMark)) {
		return usageError{fmt.Errorf("%s describes an installation that is no demo: give --data another directory", d.layout.config())}
	}
	if err := initSite(ctx, d.layout, o.addresses); err != nil {
		return err
	}
	d.sim, err = openSimulation(simOptions{
		cameras: 3, videos: o.videos, listen: "127.0.0.1:0", password: identity.NewPassword(), seed: 1, vision: o.vision, logger: logger,
	})
	if err != nil {
		return err
	}
	cfgPath, err := d.configure()
	if err != nil {
		return errors.Join(err, d.sim.server.Close())
	}
	if d.site, err = openSite(ctx, siteOptions{data: o.data, config: cfgPath, rights: s3.Put | s3.Get | s3.Erase, trustClock: o.trustClock, wall: o.wall, signing: true, logger: logger}); err != nil {
		return errors.Join(err, d.sim.server.Close())
	}
	text, err := os.ReadFile(cfgPath)
	if err == nil {
		_, err = d.site.apply(ctx, cfgPath, text, policy.Subject{Name: "service:demo", Role: policy.LocalRole}, false, nil)
	}
	if err != nil {
		return errors.Join(err, d.sim.server.Close(), d.site.close())
	}
	d.began, d.logged = d.site.clock.Receiving(), d.site.clock.Logging()
	if err := d.openServices(ctx); err != nil {
		return errors.Join(err, d.sim.server.Close(), d.site.close())
	}
	return nil
}

func (d *demo) openServices(ctx context.Context) (err error) {
	d.retain = openRetain(ctx, d.site, reaping{age: time.Minute, every: 15 * time.Second})
	registry := newRegistry()
	d.site.meter(meter{registry})
	d.retain.meter(meter{registry})
	if d.ingest, err = openIngest(ctx, d.site, d.o.vision, d.compare); err != nil {
		return errors.Join(err, d.retain.close())
	}
	d.ingest.meter(meter{registry})
	if d.serve, err = openServe(ctx, d.site, registry); err != nil {
		return errors.Join(err, d.ingest.intake.Close(), d.retain.close())
	}
	for _, who := range []struct {
		name string
		role policy.Role
	}{{"utredare", policy.Investigator}, {"tavla", policy.DashboardViewer}, {"granskare", policy.Auditor},
		{"ledare", policy.InvestigationLead}, {"ledare2", policy.InvestigationLead}} { // lifting a hold takes two
		password, err := d.site.addAccount(ctx, "service:demo", who.name, who.role)
		if err != nil {
			return err
		}
		d.logins = append(d.logins, login{who.name, who.role, password})
	}
	return d.writeCredentials()
}

// configure writes the configuration of this run: the same file that an operator would write. A demo
// over an old data directory gets a new version of its permit, since its terms may differ.
func (d *demo) configure() (string, error) {
	now := time.Now().UTC().Truncate(time.Second)
	cfg := config{
		Node: "demo", Clip: d.o.clip.String(), MinFree: d.o.minFree,
		Objects: d.o.addresses.objects, Catalogue: d.o.addresses.catalogue, Keys: d.o.addresses.keys,
	}
	retention, err := policy.ParsePeriod(fmt.Sprintf("PT%dS", int(d.o.retention.Seconds())))
	if err != nil {
		return "", err
	}
	// Each run has an assessment of its own: it may intrude more than the one before.
	paper := sha256.Sum256([]byte(now.String()))
	permit := policy.Permit{
		ID: demoPermit, Version: int(now.Unix()), Regime: policy.Municipal, Basis: policy.Assessment, ValidFrom: now.Add(-time.Minute),
		Assessment: &policy.Document{SHA256: hex.EncodeToString(paper[:]), Date: now.Format(time.DateOnly), Decider: "klarsyn demo", Diary: "demo " + now.Format(time.RFC3339)},
		Controller: "klarsyn demo", Place: &policy.Place{Address: "Sergels torg, Stockholm", Type: "torg (simulated)"},
		Retention: retention, Purposes: []string{policy.CrimeInvestigation, policy.CrimePrevention},
	}
	for _, cam := range d.sim.cameras {
		cfg.Cameras = append(cfg.Cameras, cameraConfig{
			ID: string(cam.ID), Name: cam.Name, URL: cam.URL, Username: cam.Username, PasswordFile: "simulated.password",
			Zones: cam.Profile.Zones, Perspective: cam.Profile.Perspective,
		})
	}
	if err := os.WriteFile(filepath.Join(d.layout.root, "simulated.password"), []byte(passwordLine(d.sim.cameras[0])), 0o600); err != nil {
		return "", fmt.Errorf("demo configuration: %w", err)
	}
	for i, raw := range d.o.cameras {
		cc, password, err := realCamera(fmt.Sprintf("r%d", i+1), raw)
		if err != nil {
			return "", usageError{err}
		}
		if password != "" {
			fmt.Fprintf(d.std.err, "klarsyn: the password of camera %s stood on the command line, where others on this machine can read it: for more than a trial, write it to a password_file\n", cc.ID)
			cc.PasswordFile = cc.ID + ".password"
			if err := os.WriteFile(filepath.Join(d.layout.root, cc.PasswordFile), []byte(password+"\n"), 0o600); err != nil {
				return "", fmt.Errorf("demo configuration: %w", err)
			}
		}
		cfg.Cameras = append(cfg.Cameras, cc)
	}
	for _, cc := range cfg.Cameras {
		permit.Cameras = append(permit.Cameras, cc.ID)
	}
	cfg.Permits = []permitConfig{{Permit: permit}}
	b, err := yaml.Marshal(cfg)
	if err != nil {
		return "", fmt.Errorf("demo configuration: %w", err)
	}
	path := d.layout.config()
	if err := os.WriteFile(path, append([]byte(demoMark), b...), 0o640); err != nil {
		return "", fmt.Errorf("demo configuration: %w", err)
	}
	return path, nil
}

// realCamera splits a camera's address from its credentials. Its errors never quote the address.
func realCamera(id, raw string) (cameraConfig, string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return cameraConfig{}, "", errors.New("--camera is not a URL: want rtsp://[USER:PASSWORD@]HOST/PATH")
	}
	user, password := "", ""
	if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
		u.User = nil
	}
	whole := wholePicture()
	cc := cameraConfig{ID: id, Name: "Camera " + id, URL: u.String(), Username: user, Zones: whole.Zones, Perspective: whole.Perspective}
	cam := camera.Camera{ID: camera.ID(id), URL: cc.URL, Profile: whole}
	return cc, password, cam.Validate()
}

// greet tells a newcomer where to look.
func (d *demo) greet() {
	fmt.Fprintf(d.std.out, "\nKlarsyn runs a square of %d cameras.  http://%s\n\n", len(d.site.current.now().Cameras), d.listener.Addr())
	for _, l := range d.logins {
		fmt.Fprintf(d.std.out, "  %-10s %-18s password %s\n", l.Name, l.Role, l.Password)
	}
	fmt.Fprintf(d.std.out, "\nClips of %s are kept for %s, then they are gone. Data: %s. Stop with Ctrl-C.\n\n", d.o.clip, d.o.retention, d.layout.root)
}

func (d *demo) writeCredentials() error {
	if d.o.credentials == "" {
		return nil
	}
	b, err := json.MarshalIndent(map[string]any{"url": "http://" + d.listener.Addr().String(), "users": d.logins}, "", "  ")
	if err != nil {
		return err
	}
	// A file that others could read, or own, is not reused.
	if err := os.Remove(d.o.credentials); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("--credentials: %w", err)}
	}
	f, err := os.OpenFile(d.o.credentials, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usageError{fmt.Errorf("--credentials: %w", err)}
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		return errors.Join(fmt.Errorf("--credentials: %w", err), f.Close())
	}
	return f.Close()
}

// run records until ctx ends or the time is up. Deletion and the log go on until recording and serving
// have ended, so that the last entry is numbered too.
func (d *demo) run(ctx context.Context) error {
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	if d.o.duration > 0 {
		front, stopFront = context.WithTimeout(ctx, d.o.duration)
		defer stopFront()
	}
	back, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()
	behind, behindCtx := errgroup.WithContext(back)
	behind.Go(func() error { return d.site.watchSquare(behindCtx) })
	behind.Go(d.aloud("retain", func() error { return d.retain.run(behindCtx) }))
	behind.Go(d.aloud("simulated cameras", func() error { return d.sim.run(behindCtx) }))

	g, gctx := errgroup.WithContext(front)
	g.Go(d.aloud("ingest", func() error {
		if err := d.sim.ready(gctx); err != nil && gctx.Err() == nil {
			return err
		}
		return d.ingest.run(gctx)
	}))
	g.Go(d.aloud("serve", func() error { return d.serve.run(gctx, d.listener) }))
	g.Go(func() error { return d.status(gctx) })
	if d.o.tour {
		g.Go(func() error { return d.tour(gctx) })
	}
	g.Go(func() error {
		select {
		case <-behindCtx.Done():
			return errors.New("deletion or the simulated cameras stopped: recording stops with them")
		case <-gctx.Done():
			return nil
		}
	})
	err := g.Wait()
	stopBack()
	return errors.Join(err, behind.Wait())
}

// aloud says at once what ended a part: the rest takes a while to stop.
func (d *demo) aloud(part string, run func() error) func() error {
	return func() error {
		err := run()
		if err != nil {
			d.site.logger.Error("the square stops", "part", part, "err", err)
		}
		return err
	}
}

// passwordLine is what a password file of the camera holds.
func passwordLine(cam camera.Camera) string { return strings.TrimSpace(string(cam.Password)) + "\n" }
