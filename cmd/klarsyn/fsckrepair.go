package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"
	"time"

	"klarsyn/policy"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/fsck"
	"klarsyn/retention/object"
	"klarsyn/retention/object/s3"
	"klarsyn/retention/vault"
)

// repairActor is who the log says repairs.
const repairActor = "service:fsck"

// repairAll does what is safe about what was found, and checks once more. What it did it tells on stderr as well, since a check
// that follows may not end.
func repairAll(ctx context.Context, l layout, a addresses, o fsckOptions, found []fsck.Result, tell io.Writer) ([]fsck.Result, error) {
	wanted := wantedOf(found)
	if len(wanted) == 0 {
		return found, nil
	}
	// What a store is not shown to be able to, or of which epoch it is, need not be asked if nothing is removed from it.
	var rights s3.Right
	if wanted[fsck.RepairReap] || wanted[fsck.RepairSweep] {
		rights = s3.Erase
	}
	s, err := openSite(ctx, siteOptions{data: l.root, config: o.config, addresses: a, rights: rights, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("repairing: %w", err)
	}
	r := repairs{site: s, books: s.catalogueOver(s.deletionLog, repairActor), stray: o.stray}
	tried := fsck.Mend(ctx, found, r.hands())
	if err := errors.Join(ctx.Err(), r.close(), s.close()); err != nil {
		return nil, err
	}
	for _, attempt := range tried {
		if database.Denied(attempt.Err) {
			attempt.Err = fmt.Errorf("%w: run it again with the rights of retain, or for what holds keep and count with those of serve", attempt.Err)
		}
		fmt.Fprintln(tell, "repair:", attempt)
	}
	after, err := checkAll(ctx, l, a, o)
	if err != nil {
		return nil, err
	}
	fsck.Compare(after, tried)
	return after, nil
}

// wantedOf are the repairs that there is something for.
func wantedOf(found []fsck.Result) map[fsck.Repair]bool {
	wanted := map[fsck.Repair]bool{}
	for _, r := range found {
		for _, f := range r.Findings {
			if f.Repair != "" {
				wanted[f.Repair] = true
			}
		}
	}
	return wanted
}

// repairs are the hands that repair: mostly those of retain.
type repairs struct {
	site   *site
	books  *catalogue.Catalogue
	stray  time.Duration
	retain *retain // opened when it is needed
	story  fsck.Story
}

func (r *repairs) hands() fsck.Hands {
	return fsck.Hands{
		fsck.RepairSweep: r.sweep, fsck.RepairKeys: r.tend, fsck.RepairReap: r.reap, fsck.RepairRecipient: r.withdraw, fsck.RepairCount: r.recount,
		fsck.RepairHeader: func(ctx context.Context, f fsck.Finding) (string, error) {
			done, err := r.books.DropHeader(ctx, rowOf(f, policy.KindClip))
			return did(done, "the header is destroyed"), errors.Join(err, r.site.db.scrub(ctx))
		},
		fsck.RepairLetGo: func(ctx context.Context, f fsck.Finding) (string, error) {
			done, err := r.books.DropKept(ctx, rowOf(f, policy.KindHold))
			return did(done, "what the hold kept is destroyed"), errors.Join(err, r.site.db.scrub(ctx))
		},
		fsck.RepairEnd: func(ctx context.Context, f fsck.Finding) (string, error) {
			done, err := r.books.EndDeleted(ctx, rowOf(f, policy.KindClip))
			return did(done, "the clip ends where it began"), err
		},
	}
}

// rowOf is the id of a finding's row.
func rowOf(f fsck.Finding, kind policy.Kind) string {
	return strings.TrimPrefix(f.Row, string(kind)+":")
}

func did(done bool, what string) string {
	if !done {
		return "somebody else did it meanwhile, or it may not be done"
	}
	return what
}

func (r *repairs) close() error {
	if r.retain == nil {
		return nil
	}
	return r.retain.close()
}

// hand is retain as the process of that name has it; what it does it logs as its own.
func (r *repairs) hand(ctx context.Context) *retain {
	if r.retain == nil {
		r.retain = openRetain(ctx, r.site, reaping{age: r.stray})
	}
	return r.retain
}

// sweep deletes what is due, as retain does: also what fell due since the check, and nothing while the clock is doubted.
func (r *repairs) sweep(ctx context.Context, _ fsck.Finding) (string, error) {
	re := r.hand(ctx)
	before := re.sweeper.Stats().Deleted
	again, err := true, error(nil)
	for again && err == nil && ctx.Err() == nil {
		again, err = re.sweeper.Sweep(ctx)
	}
	err = errors.Join(err, re.backgrounds.Reap(ctx))
	return fmt.Sprintf("what was due is deleted, of clips %d", re.sweeper.Stats().Deleted-before), err
}

func (r *repairs) tend(ctx context.Context, _ fsck.Finding) (string, error) {
	re := r.hand(ctx)
	if re.tender == nil {
		return "", fmt.Errorf("the key store: %w", re.faults.err())
	}
	return "the keys were tended", re.tender.Tend(ctx)
}

// reap removes a stray object, and what a clip that is gone left in store or spool.
func (r *repairs) reap(ctx context.Context, f fsck.Finding) (string, error) {
	strays := &object.Reaper{Store: r.site.store, Owners: answered{r.books}, Prefix: f.Object, Age: max(r.stray, time.Nanosecond), Now: time.Now}
	n, err := strays.Reap(ctx)
	if err != nil {
		return "", err
	}
	known, live, err := answered{r.books}.Owner(ctx, f.Object)
	if err != nil || !known || live {
		return did(n > 0, "it is removed"), err
	}
	spool := vault.Leftovers{Folder: r.site.layout.spool()}
	left, err := spool.Remains(f.Object)
	if err != nil || left == 0 {
		return did(n > 0, "it is removed"), err
	}
	if err := r.books.LogOrphan(ctx, "spool/"+path.Base(f.Object), 0); err != nil {
		return "", err
	}
	_, err = spool.Erase(f.Object)
	return "it is removed", err
}

// withdraw takes a recipient away that nobody could open for; where its day is open another key is minted.
func (r *repairs) withdraw(ctx context.Context, f fsck.Finding) (string, error) {
	permit, day, ok := strings.Cut(rowOf(f, policy.KindDayKey), "/")
	if !ok {
		return "", fmt.Errorf("%s names no day key", f.Row)
	}
	if err := r.books.WithdrawRecipient(ctx, permit, day); err != nil {
		return "", err
	}
	_, err := r.tend(ctx, f)
	return "the recipient is withdrawn", err
}

// recount counts holds where deletion looks, as the rows say and the log confirms.
func (r *repairs) recount(ctx context.Context, f fsck.Finding) (string, error) {
	if r.story == nil {
		var err error
		if r.story, err = replayed(ctx, r.site.db); err != nil {
			return "", err
		}
	}
	id := rowOf(f, policy.KindClip)
	told, _ := r.story.Clip(id)
	done, err := r.books.Recount(ctx, id, told.Holds)
	return did(done, "the holds were counted again"), err
}
