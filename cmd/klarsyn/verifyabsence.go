package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/camera"
	"klarsyn/policy/audit/absence"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/replay"
	"klarsyn/policy/audit/verify"
	"klarsyn/retention"
	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
	"klarsyn/retention/object/s3"
)

// absenceCheck is what klarsyn verify absence was asked.
type absenceCheck struct {
	objects, listing, log, key, listedAt string
	grace, stray                         time.Duration
	asJSON                               bool
}

func verifyAbsenceCommand(std stdio) *cobra.Command {
	var a absenceCheck
	cmd := &cobra.Command{
		Use: "absence", Short: "Check that nothing lies in a bucket that the log says is gone",
		Long: `absence lists what lies in a bucket, or in a directory, and holds it against an exported log, which it checks first as
klarsyn verify log does: (a) nothing may lie there that the log says is deleted, or whose deadline has passed without a hold;
(b) nothing may lie there that no entry explains. Versions, delete markers and unfinished uploads all count. It needs no
catalogue and no key that opens anything: give it an access key of your own that may only list, or a listing that you made
with other tools (aws s3api list-object-versions, and list-multipart-uploads behind it).

The log tells up to its newest checkpoint, and the verdict is of that time. What belongs to clips that are younger is
counted, and not judged. Some servers (MinIO) show unfinished uploads only to who asks for their very key: there a listing
may lack them.

Exit code: 0 nothing is there that must not be, 1 something is, or the log is not whole, 2 wrong use.`,
		Example: "  klarsyn verify absence --objects 's3://objects.example:9000/clips?credentials=FILE&ca=FILE' --log log-2026-11 --key audit.pub\n" +
			"  klarsyn verify absence --listing listing.json --listed-at 2026-11-30T12:00:00Z --log log-2026-11 --key audit.pub --json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context(), std) },
	}
	f := cmd.Flags()
	f.StringVar(&a.objects, "objects", "", "what to list: s3://HOST[:PORT]/BUCKET[?credentials=FILE&ca=FILE&region=NAME&tls=false], or a directory")
	f.StringVar(&a.listing, "listing", "", "file with a listing instead, as aws s3api list-object-versions prints it")
	f.StringVar(&a.listedAt, "listed-at", "", "when that listing was begun, RFC 3339 (default: when the file was last changed)")
	f.StringVar(&a.log, "log", "", "directory that klarsyn log export wrote (required)")
	f.StringVar(&a.key, "key", "", "file with the log's public key, its audit.pub (required)")
	f.DurationVar(&a.grace, "grace", time.Minute, "how long after its deadline a clip may still be on its way out")
	f.DurationVar(&a.stray, "stray", 90*time.Minute, "how long the bytes of a recording that could not be kept may lie there")
	f.BoolVar(&a.asJSON, "json", false, "print the report as JSON")
	require(cmd, "log")
	require(cmd, "key")
	return cmd
}

func (a absenceCheck) run(ctx context.Context, std stdio) error {
	if (a.objects == "") == (a.listing == "") {
		return usageError{errors.New("want one of --objects, to list what lies there, and --listing FILE, which somebody else made")}
	}
	if a.listedAt != "" && a.listing == "" {
		return usageError{errors.New("--listed-at is about --listing")}
	}
	if _, err := os.Stat(filepath.Join(a.log, leaf.Newest)); err != nil {
		return usageError{fmt.Errorf("%s is no exported log: want what klarsyn log export -o wrote (%w)", a.log, err)}
	}
	keys, err := readKeys(a.key)
	if err != nil {
		return err
	}
	source, err := a.source()
	if err != nil {
		return err
	}
	defer source.close()

	// The log is read before the bucket is listed: what is deleted meanwhile is not missed there, and what is recorded is younger.
	clips, log, first, err := a.replay(ctx, std, keys, source.at)
	if err != nil {
		return err
	}
	if len(log.Problems) > 0 {
		fmt.Fprintf(std.err, "the log in %s is not whole, and what it says of clips is worth nothing:\n", a.log)
		printLogReport(std.err, log, 0)
		return errViolations
	}
	o := absence.Options{
		Key: func(cam string, from time.Time, id string) string {
			return retention.ObjectKey(camera.ID(cam), from, id)
		},
		AsOf: log.Newest, Listed: source.at, Grace: a.grace, Stray: a.stray, First: first, Progress: counting(std.err, "things listed"),
	}
	if o.Listed.IsZero() {
		o.Listed = time.Now().UTC()
	}
	if o.Listed.Before(o.AsOf) {
		o.AsOf = o.Listed
	}
	report, err := absence.Check(clips, source.traces(ctx), o)
	if err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	if report.Wrong > 0 {
		if _, err := verify.Dir(ctx, a.log, verify.Options{Keys: keys, Each: report.Tell()}); err != nil {
			return err
		}
	}
	if a.asJSON {
		err = printJSON(std.out, struct {
			Log     string `json:"log"`
			Entries int64  `json:"entries"`
			Deleted int64  `json:"deleted"`
			*absence.Report
		}{log.Log, log.Entries, clips.Forgotten(), report})
	} else {
		printAbsence(std.out, log, clips.Forgotten(), report)
	}
	if err == nil && report.Wrong > 0 {
		err = errViolations
	}
	return err
}

// replay checks the log and makes the states of clips of it, as they were when the listing was made if that was before.
func (a absenceCheck) replay(ctx context.Context, std stdio, keys []string, listed time.Time) (clips *replay.Clips, log *verify.Report, first time.Time, err error) {
	clips = &replay.Clips{Forget: true}
	var odd error
	log, err = verify.Dir(ctx, a.log, verify.Options{Keys: keys, Progress: newProgress(std.err, "entries checked").tell, Each: func(index int64, l leaf.Leaf) {
		if first.IsZero() {
			first = l.Sequenced
		}
		if !listed.IsZero() && l.Time.After(listed) {
			return
		}
		if err := clips.Add(l); err != nil && odd == nil {
			odd = fmt.Errorf("entry %d: %w", index, err)
		}
	}})
	if err != nil {
		return nil, nil, first, err
	}
	if log.FirstEntry == 0 {
		first = time.Time{}
	}
	if len(log.Problems) == 0 && odd != nil {
		return nil, nil, first, odd
	}
	return clips, log, first, nil
}

// listingSource is where traces come from. at is when they were listed; zero: they are listed when they are asked for.
type listingSource struct {
	traces func(context.Context) iter.Seq2[absence.Trace, error]
	at     time.Time
	close  func()
}

func (a absenceCheck) source() (listingSource, error) {
	if a.listing != "" {
		return a.fromListing()
	}
	if !strings.Contains(a.objects, "://") {
		store, err := dir.Existing(a.objects)
		if err != nil {
			return listingSource{}, usageError{fmt.Errorf("--objects: %w", err)}
		}
		return listingSource{traces: tracesOf(store.Traces), close: func() {}}, nil
	}
	cfg, err := s3.ParseAddress(a.objects)
	if err != nil {
		return listingSource{}, usageError{fmt.Errorf("--objects: %w", err)}
	}
	store, err := s3.Open(cfg)
	if err != nil {
		return listingSource{}, usageError{fmt.Errorf("--objects: %w", err)}
	}
	return listingSource{traces: tracesOf(store.Traces), close: store.Close}, nil
}

func (a absenceCheck) fromListing() (listingSource, error) {
	f, err := os.Open(a.listing)
	if err != nil {
		return listingSource{}, usageError{fmt.Errorf("--listing: %w", err)}
	}
	s := listingSource{
		traces: func(context.Context) iter.Seq2[absence.Trace, error] { return absence.Listing(f) },
		close:  func() { f.Close() },
	}
	var info fs.FileInfo
	if a.listedAt != "" {
		s.at, err = time.Parse(time.RFC3339, a.listedAt)
	} else if info, err = f.Stat(); err == nil {
		s.at = info.ModTime().UTC()
	}
	if err != nil {
		f.Close()
		return listingSource{}, usageError{fmt.Errorf("--listed-at: %w", err)}
	}
	return s, nil
}

// tracesOf lists a store's traces of all keys.
func tracesOf(list func(context.Context, string) iter.Seq2[object.Trace, error]) func(context.Context) iter.Seq2[absence.Trace, error] {
	kinds := map[object.Kind]string{object.Version: absence.Version, object.Marker: absence.Marker, object.Upload: absence.Upload}
	return func(ctx context.Context) iter.Seq2[absence.Trace, error] {
		return func(yield func(absence.Trace, error) bool) {
			for t, err := range list(ctx, "") {
				if !yield(absence.Trace{Key: t.Key, Kind: kinds[t.Kind], Version: t.Version, Size: t.Size}, err) {
					return
				}
			}
		}
	}
}

// counting tells on standard error how far a listing is whose length nobody knows.
func counting(out io.Writer, what string) func(done int64) {
	next := time.Now().Add(progressEvery)
	return func(done int64) {
		if now := time.Now(); now.After(next) {
			next = now.Add(progressEvery)
			fmt.Fprintf(out, "%d %s\n", done, what)
		}
	}
}

func printAbsence(w io.Writer, log *verify.Report, deleted int64, r *absence.Report) {
	for _, p := range r.Problems {
		of := p.Kind
		if p.Version != "" {
			of += " " + p.Version
		}
		fmt.Fprintf(w, "MUST NOT LIE THERE (%s): %s, %s, %d bytes: %s\n", p.Rule, p.Key, of, p.Size, p.What)
	}
	if more := r.Wrong - int64(len(r.Problems)); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	fmt.Fprintf(w, "log       %s is whole: %d entries, %d clips deleted; it tells up to %s\n", log.Log, log.Entries, deleted, log.Newest.Format(time.RFC3339))
	fmt.Fprintf(w, "listed    %d things, at %s; judged as of %s\n", r.Traces, r.Listed.Format(time.RFC3339), r.AsOf.Format(time.RFC3339))
	fmt.Fprintf(w, "explained %d clips before their deadline, %d being recorded, %d held for %d cases, %d on their way out, %d small marks\n",
		r.Live, r.Pending, r.Held, r.Cases, r.Leaving, r.Marks)
	if r.Newer > 0 {
		fmt.Fprintf(w, "not judged: %d things of clips that are younger than the log\n", r.Newer)
	}
	if r.Wrong == 0 {
		fmt.Fprintln(w, "nothing lies there that must be gone, and nothing that the log does not explain")
	}
}
