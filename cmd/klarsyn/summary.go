package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention/fsck"
)

// late is how long after its deadline a clip counts as overdue.
const late = 10 * time.Second

// summary is what a demo did. The JSON names are an interface.
type summary struct {
	Cameras        int      `json:"cameras"`
	Seconds        float64  `json:"seconds"`
	ClipsCommitted int      `json:"clips_committed"`
	ClipsDeleted   int      `json:"clips_deleted"`
	Overdue        int      `json:"overdue"`
	MaxDeleteLag   float64  `json:"max_delete_lag_s"`
	Samples        int64    `json:"samples"`
	CountMAE       *float64 `json:"count_mae"` // null: nothing could be compared
	Gaps           int      `json:"gaps"`
	ReadsGranted   int      `json:"reads_granted"`
	ReadsDenied    int      `json:"reads_denied"`
	AuditSize      int64    `json:"audit_size"`
	FsckViolations int      `json:"fsck_violations"`
}

// countErrors compares counts with the truth of the drawn scenes.
type countErrors struct {
	mu  sync.Mutex
	sum float64
	n   int
}

func newCountErrors() *countErrors { return &countErrors{} }

func (c *countErrors) add(e float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum += math.Abs(e)
	c.n++
}

func (c *countErrors) mean() *float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		return nil
	}
	m := c.sum / float64(c.n)
	return &m
}

// compare sees every sample that was kept. Only known numbers are compared: unknown is never zero.
func (d *demo) compare(samples []camera.Sample) {
	for _, m := range samples {
		if m.Quality != camera.QualityOK {
			continue
		}
		if present, known := d.sim.truth(m.Camera, m.Zone, m.Time); known {
			d.errors.add(m.Present - float64(present))
		}
	}
}

// status prints a line every ten seconds.
func (d *demo) status(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		in, sw := d.ingest.intake.Stats(), d.retain.sweeper.Stats()
		size, err := d.site.log.Size(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.site.logger.Error("the log's size could not be read", "err", err)
			}
			continue
		}
		mae := "–"
		if m := d.errors.mean(); m != nil {
			mae = fmt.Sprintf("%.2f", *m)
		}
		fmt.Fprintf(d.std.out, "%s  %4d clips stored (%.1f MiB)  %4d forgotten, at most %.1f s late  %4d counts, error %s  %d log entries\n",
			time.Now().Format("15:04:05"), in.Committed, float64(in.Bytes)/(1<<20), sw.Deleted, sw.MaxLag.Seconds(), d.ingest.samples.kept.Load(), mae, size)
	}
}

// summarise counts what the log and the catalogue say, once everything has stopped.
func (d *demo) summarise(ctx context.Context) (summary, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	now := d.site.clock.Now()
	s := summary{
		Cameras: len(d.site.current.now().Cameras), Seconds: math.Round(d.site.clock.Receiving().Sub(d.began).Seconds()*10) / 10,
		Samples: d.ingest.samples.kept.Load(), CountMAE: d.errors.mean(),
		MaxDeleteLag: math.Round(d.retain.sweeper.Stats().MaxLag.Seconds()*1000) / 1000,
	}
	for event, into := range map[policy.Event]*int{
		policy.ClipCommitted: &s.ClipsCommitted, policy.ClipPartial: &s.ClipsCommitted, policy.ClipDeleted: &s.ClipsDeleted,
		policy.CameraStopped: &s.Gaps, policy.CameraRefused: &s.Gaps, policy.ViewingOpened: &s.ReadsGranted, policy.Denied: &s.ReadsDenied,
	} {
		n, err := d.countSince(ctx, event)
		if err != nil {
			return s, err
		}
		*into += n
	}
	// Every camera's last interruption is the end of this run.
	s.Gaps = max(0, s.Gaps-len(d.site.current.now().Cameras))
	var err error
	if s.Overdue, err = d.site.catalogue("service:demo").Overdue(ctx, now.Add(-late)); err != nil {
		return s, err
	}
	if s.AuditSize, err = d.site.log.Size(ctx); err != nil {
		return s, err
	}
	results, err := checkAll(ctx, d.layout, d.site.addresses, fsckOptions{stray: 2 * time.Minute, grace: late})
	if err != nil {
		return s, err
	}
	s.FsckViolations = violations(results)
	if s.FsckViolations > 0 {
		printResults(d.std.err, broken(results))
	}
	return s, nil
}

// countSince counts the log's entries of one event since the demo began.
func (d *demo) countSince(ctx context.Context, event policy.Event) (int, error) {
	n := 0
	for from := int64(0); ; {
		page, err := d.site.log.Entries(ctx, audit.Query{From: from, Since: d.logged, Events: []policy.Event{event}, Limit: 1000})
		if err != nil {
			return n, err
		}
		n += len(page)
		if len(page) < 1000 {
			return n, nil
		}
		from = page[len(page)-1].Seq + 1
	}
}

func broken(results []fsck.Result) []fsck.Result {
	var out []fsck.Result
	for _, r := range results {
		if len(r.Violations) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// report prints the summary and writes it where it was asked for.
func (d *demo) report(s summary) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	line := string(b)
	fmt.Fprintln(d.std.out, strings.TrimSpace(line))
	if d.o.summary != "" {
		if err := os.WriteFile(d.o.summary, append(b, '\n'), 0o644); err != nil {
			return usageError{fmt.Errorf("--summary: %w", err)}
		}
	}
	if s.FsckViolations > 0 || s.Overdue > 0 {
		return errViolations
	}
	return nil
}
