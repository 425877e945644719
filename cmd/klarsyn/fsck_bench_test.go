package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/keys"
)

// BenchmarkFsck runs the built command over a data directory of ROWS clips (default 20,000), with headers, objects, keys and a
// log as they are made by recording, and tells how long it took and how much memory it had at most:
//
//	ROWS=500000 go test -run - -bench Fsck -benchtime 1x -timeout 1h ./cmd/klarsyn
//
// To make it takes longer than to check it: DATA=DIR keeps it there, and finds it again.
func BenchmarkFsck(b *testing.B) {
	rows := 20_000
	if n, err := strconv.Atoi(os.Getenv("ROWS")); err == nil {
		rows = n
	}
	l := layout{filepath.Join(b.TempDir(), "square")}
	if kept := os.Getenv("DATA"); kept != "" {
		l.root = kept
	}
	if _, err := os.Stat(l.root); err != nil {
		if err := filled(b.Context(), l, rows); err != nil {
			b.Fatal(err)
		}
	}
	command := filepath.Join(b.TempDir(), "klarsyn")
	build := exec.Command("go", "build", "-o", command, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for _, level := range []string{"presence", "size", "hash"} {
		b.Run(level, func(b *testing.B) {
			var memory int64
			var busy time.Duration
			for b.Loop() {
				cmd := exec.Command(command, "fsck", "--data", l.root, "--level", level)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				busy += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
				memory = max(memory, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
			}
			b.ReportMetric(float64(memory)/1024, "MiB")
			b.ReportMetric(busy.Seconds()/float64(b.N), "cpu-s/op") // other than the time, it does not depend on who else works here
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "clips/s")
		})
	}
}

// filled makes an installation with that many clips of eight cameras, half a minute each.
func filled(ctx context.Context, l layout, n int) (err error) {
	if err := initSite(ctx, l, addresses{}); err != nil {
		return err
	}
	const cameras, length, batch = 8, 30 * time.Second, 900 // whose leaves are numbered in one transaction
	start := time.Now().UTC().Add(-time.Duration(n/cameras+1) * length).Truncate(time.Second)
	clock := start.Add(-time.Hour)
	db, err := openCatalogue(ctx, l, addresses{})
	if err != nil {
		return err
	}
	defer db.Close()
	// What this makes need not survive a power cut.
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `PRAGMA synchronous = OFF`); err != nil {
		return err
	}
	key, err := audit.LoadKey(l.audit())
	if err != nil {
		return err
	}
	log, err := audit.New(audit.Config{DB: db.DB, Dialect: db.dialect, Key: key, Now: func() time.Time { return clock }, Logger: quiet()})
	if err != nil {
		return err
	}
	books := &catalogue.Catalogue{DB: db.DB, Dialect: db.dialect, Log: log, Actor: "service:ingest", Now: func() time.Time { return clock }}
	month, err := policy.ParsePeriod("P30D")
	if err != nil {
		return err
	}
	permit := policy.Permit{
		ID: "plattan", Version: 1, Regime: policy.Municipal, Basis: policy.Assessment, ValidFrom: start.AddDate(0, -1, 0), Retention: month,
		Purposes: []string{policy.CrimeInvestigation},
	}
	for k := range cameras {
		permit.Cameras = append(permit.Cameras, fmt.Sprintf("k%d", k))
	}
	if err := books.Activate(ctx, permit); err != nil {
		return err
	}
	if err := mintDays(ctx, l, books, start); err != nil {
		return err
	}
	body := []byte("sealed bytes of a clip of the benchmark")
	sum := sha256.Sum256(body)
	noise := rand.NewChaCha8([32]byte{1})
	for done := 0; done < n; done += batch {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for i := done; i < min(n, done+batch); i++ {
			from := start.Add(time.Duration(i/cameras) * length)
			clock = from.Add(length)
			cam := camera.ID(permit.Cameras[i%cameras])
			id := fmt.Sprintf("%026d", i)
			c := retention.Clip{
				ID: id, Camera: cam, Permit: "plattan", PermitVersion: 1, Start: from, End: clock, Deadline: permit.Until(from), KeyDay: from.Format(time.DateOnly),
				ObjectKey: retention.ObjectKey(cam, from, id), Size: int64(len(body)), SHA256: sum, Frames: 750,
			}
			header := make([]byte, 1650)
			noise.Read(header)
			if err := insertClip(ctx, tx, log, c, header); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			path := filepath.Join(l.objects(), filepath.FromSlash(c.ObjectKey))
			if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
				return err
			}
			if err := os.WriteFile(path, body, 0o660); err != nil {
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		if err := log.Sequence(ctx); err != nil {
			return err
		}
	}
	return nil
}

// insertClip writes what a recorder leaves of a clip that it stored.
func insertClip(ctx context.Context, tx *sql.Tx, log *audit.Log, c retention.Clip, header []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO catalogue_clip
		(id, camera, permit, permit_version, start_us, end_us, deadline_us, state, key_day, object_key, size, plain_size, sha256, frames, codec, node)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 'committed', $8, $9, $10, $10, $11, $12, 'h264', 'n1')`,
		c.ID, c.Camera, c.Permit, c.PermitVersion, c.Start.UnixMicro(), c.End.UnixMicro(), c.Deadline.UnixMicro(), c.KeyDay, c.ObjectKey, c.Size, c.SHA256[:], c.Frames)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO catalogue_header (clip, header) VALUES ($1, $2)`, c.ID, header); err != nil {
		return err
	}
	ref := policy.ClipRef{ID: c.ID, Camera: string(c.Camera), Permit: policy.PermitRef{ID: c.Permit, Version: c.PermitVersion}}
	if err := log.Append(ctx, tx, policy.ClipReservedEntry("service:ingest", ref, c.Start, c.Deadline)); err != nil {
		return err
	}
	return log.Append(ctx, tx, policy.ClipCommittedEntry("service:ingest", ref, policy.Seal{SHA256: c.SHA256, Size: c.Size, To: c.End, Frames: c.Frames}))
}

// mintDays mints the day keys that the clips were sealed to.
func mintDays(ctx context.Context, l layout, books *catalogue.Catalogue, from time.Time) error {
	keyDB, err := openKeyStore(ctx, l, addresses{})
	if err != nil {
		return err
	}
	defer keyDB.Close()
	public, err := keys.LoadPublic(l.master())
	if err != nil {
		return err
	}
	store := &keys.Store{DB: keyDB.DB, Sealer: public, Now: time.Now}
	for day := from; day.Before(time.Now().Add(24 * time.Hour)); day = day.AddDate(0, 0, 1) {
		k := keys.Key{Permit: "plattan", Day: day.UTC().Format(time.DateOnly)}
		recipient, _, err := store.Mint(ctx, k)
		if err != nil {
			return err
		}
		if err := books.PublishRecipient(ctx, k.Permit, k.Day, recipient); err != nil {
			return err
		}
	}
	return nil
}
