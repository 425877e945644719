package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/api"
	"klarsyn/policy"
	"klarsyn/policy/identity"
	"klarsyn/policy/rules"
	"klarsyn/retention"
)

// localActor is who the log says applied something on this machine, without an account.
func localActor() policy.Subject {
	return policy.Subject{Name: commandActor(), Role: policy.LocalRole}
}

// apply puts a description of the square in force, in one transaction; or tries that, and takes it back.
func (s *site) apply(ctx context.Context, name string, text []byte, who policy.Subject, try bool, allowed func(*planned) error) (api.Plan, error) {
	d, err := readDeclaration(name, text)
	if err != nil {
		return api.Plan{}, err
	}
	if err := s.current.poll(ctx); err != nil {
		return api.Plan{}, fmt.Errorf("%w: what holds of the square cannot be read: %w", retention.ErrUnavailable, err)
	}
	accounts, err := s.accounts(who.Name)
	if err != nil {
		return api.Plan{}, err
	}
	on := standing{holding: s.current.now(), settings: s.square, now: s.clock.Logging()}
	on.versions = on.holding.permits.Versions()
	if on.accounts, err = accounts.List(ctx); err != nil {
		return api.Plan{}, fmt.Errorf("%w: %w", retention.ErrUnavailable, err)
	}
	p, err := plan(d, on, who)
	if err != nil {
		return api.Plan{}, err
	}
	if allowed != nil {
		if err := allowed(p); err != nil {
			return api.Plan{}, err
		}
	}
	if p.Sights, err = sights(p.next, on); err != nil {
		return p.Plan, err
	}
	if len(p.Changes) == 0 {
		return p.Plan, nil
	}
	p.application.Try = try
	p.application.Also = func(ctx context.Context, tx *sql.Tx) error {
		for _, u := range p.users {
			if err := accounts.Declare(ctx, tx, u.declared, u.before); err != nil {
				return err
			}
		}
		return nil
	}
	done, err := s.catalogue(who.Name).Apply(ctx, p.application)
	if err != nil {
		return p.Plan, err
	}
	p.Applied = !try
	p.Moved = api.PlannedMove(done.Moved)
	if !try {
		p.Revision = done.Revision
		if err := s.current.poll(ctx); err != nil { // it holds all the same, and is heard of within a second
			s.logger.Error("what was applied cannot be read yet", "err", err)
		}
	}
	return p.Plan, nil
}

// sights is who could see what of the square: each role, each group of cameras, each purpose that a permit in force allows.
func sights(h *holding, on standing) ([]api.PlannedSight, error) {
	ruleset, err := rulesFor(h)
	if err != nil {
		return nil, err
	}
	var all []api.PlannedSight
	for _, cc := range h.Cameras {
		group := h.group(cc.ID)
		for _, role := range policy.Roles() {
			sight := api.PlannedSight{Camera: cc.ID, Role: string(role)}
			for _, a := range []policy.Action{policy.ReadOccupancy, policy.SearchClips} {
				if v, err := ruleset.Allow(role, a, group, policy.None); err == nil && v.Allowed {
					sight.May = append(sight.May, string(a))
				}
			}
			for _, v := range h.permits.Versions() {
				if v.StateAt(on.now) != policy.Active || !slices.Contains(v.Permit.Cameras, cc.ID) || !v.Permit.LetsLook(role) {
					continue
				}
				for _, purpose := range v.Permit.Purposes {
					look := string(policy.ViewOriginal) + " for " + purpose
					if v, err := ruleset.Allow(role, policy.ViewOriginal, group, purpose); err == nil && v.Allowed && !slices.Contains(sight.May, look) {
						sight.May = append(sight.May, look)
					}
				}
			}
			if len(sight.May) > 0 {
				all = append(all, sight)
			}
		}
	}
	return all, nil
}

// rulesFor are the rules over the groups of the square that holds.
func rulesFor(h *holding) (*rules.Rules, error) {
	r, err := rules.New()
	if err != nil {
		return nil, err
	}
	return r, r.Load(rulesText(h))
}

func rulesText(h *holding) rules.Text {
	var groups []rules.Group
	for _, g := range h.Groups {
		groups = append(groups, rules.Group{ID: g.ID, Roles: g.Roles})
	}
	return rules.Default().WithGroups(groups)
}

// target is the square that a command is about: a data directory, or a server that speaks for one.
type target struct {
	common
	server, tokenFile string
	asJSON            bool
}

func (t *target) flags(cmd *cobra.Command) {
	t.optionalFlags(cmd)
	cmd.Flags().StringVar(&t.server, "server", "", "instead: address of a klarsyn serve, such as https://square.example")
	cmd.Flags().StringVar(&t.tokenFile, "token-file", "", "file with the token that klarsyn login wrote, for --server")
	cmd.Flags().BoolVar(&t.asJSON, "json", false, "print JSON")
}

// desk is what a command does to a square, here or through a server.
type desk interface {
	Apply(ctx context.Context, name string, text []byte, try bool) (api.Plan, error)
	Document(ctx context.Context) ([]byte, error)
	Simulate(ctx context.Context, name string, text []byte) (api.Plan, error)
	Explain(ctx context.Context, cam string, at time.Time) (policy.Answer, error)
	close() error
}

func (t *target) open(ctx context.Context, std stdio) (desk, error) {
	switch {
	case (t.data == "") == (t.server == ""):
		return nil, usageError{errors.New("want one of --data DIR, where the square lies, and --server URL with --token-file")}
	case t.server != "":
		return newRemoteDesk(t.server, t.tokenFile)
	}
	s, err := t.common.open(ctx, std, 0, false)
	if err != nil {
		return nil, err
	}
	return localDesk{s}, nil
}

// readFile reads a description; "-" is standard input.
func readFile(path string) (name string, text []byte, err error) {
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(os.Stdin, maxDescription+1))
		name = "standard input"
	} else {
		text, err = os.ReadFile(path)
		name = path
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, usageError{fmt.Errorf("%w: name the description of the square with -f", err)}
	case err != nil:
		return "", nil, usageError{err}
	case len(text) > maxDescription:
		return "", nil, usageError{fmt.Errorf("%s:1:1: more than %d bytes: a square is described in fewer", name, maxDescription)}
	}
	return name, text, nil
}

// maxDescription bounds a description: a thousand cameras fit.
const maxDescription = 1 << 20

func applyCommand(std stdio) *cobra.Command {
	var t target
	var file string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Put a description of the square in force",
		Long: `apply reads what is declared of the square — cameras, zones, groups, users, permits — compares it with what
holds, and makes the change in one transaction: permits begin, are suspended, revoked or ended, deadlines of what is
stored move down, and within a second every process goes by it. What is wrong is named with line and column, and then
nothing is changed. --dry-run shows the plan: what starts, what stops, what is deleted earlier.

Settings of a process (node, clip, addresses) may stand in the same file; processes read them when they start.`,
		Example: "  klarsyn apply -f square.yaml --data /var/lib/klarsyn --dry-run\n" +
			"  klarsyn apply -f square.yaml --server https://square.example --token-file token",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := t.apply(cmd.Context(), std, file, dryRun)
			if err != nil {
				return err
			}
			if t.asJSON {
				return printJSON(std.out, p)
			}
			printPlan(std.out, p)
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "description of the square; - is standard input (required)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show the plan and change nothing")
	require(cmd, "file")
	return cmd
}

func (t *target) apply(ctx context.Context, std stdio, file string, try bool) (api.Plan, error) {
	name, text, err := readFile(file)
	if err != nil {
		return api.Plan{}, err
	}
	d, err := t.open(ctx, std)
	if err != nil {
		return api.Plan{}, err
	}
	p, err := d.Apply(ctx, name, text, try)
	return p, errors.Join(err, d.close())
}

func diffCommand(std stdio) *cobra.Command {
	var t target
	var file string
	cmd := &cobra.Command{
		Use:     "diff",
		Short:   "Show how a description of the square differs from what holds",
		Long:    "diff compares a description of the square with what holds, and changes nothing. Exit code: 0 no difference, 1 there is one, 2 wrong use, or they could not be compared.",
		Example: "  klarsyn diff -f square.yaml --data /var/lib/klarsyn",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := t.apply(cmd.Context(), std, file, true)
			if err != nil {
				return usageError{err} // 1 would say that they differ
			}
			if t.asJSON {
				err = printJSON(std.out, p.Changes)
			} else {
				printChanges(std.out, p.Changes)
			}
			if err == nil && len(p.Changes) > 0 {
				return errViolations
			}
			return err
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "description of the square; - is standard input (required)")
	require(cmd, "file")
	return cmd
}

func printChanges(w io.Writer, changes []api.PlannedChange) {
	for _, c := range changes {
		fmt.Fprintf(w, "%-8s %s: %s\n", c.What, c.ID, c.Change)
		for _, d := range c.Details {
			fmt.Fprintf(w, "           %s\n", d)
		}
	}
}

func printPlan(w io.Writer, p api.Plan) {
	if len(p.Changes) == 0 {
		fmt.Fprintf(w, "Nothing to change: revision %d says the same.\n", p.Base)
		return
	}
	printChanges(w, p.Changes)
	for _, e := range p.Effects {
		verb := "stops"
		if e.Starts {
			verb = "starts"
		}
		fmt.Fprintf(w, "camera   %s: %s %s (%s%s)\n", e.Camera, e.What, verb, e.Detail, with(", permit ", e.Permit))
	}
	if p.Moved.Clips > 0 {
		fmt.Fprintf(w, "clips    %d are deleted earlier, %d of them at once (%d bytes in all)\n", p.Moved.Clips, p.Moved.Due, p.Moved.Bytes)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(w, "warning  %s\n", warning)
	}
	if !p.Applied {
		fmt.Fprintf(w, "Nothing was changed: this was a try over revision %d.\n", p.Base)
		return
	}
	fmt.Fprintf(w, "Applied as revision %d.\n", p.Revision)
	for _, n := range p.Next {
		fmt.Fprintf(w, "Next: %s\n", n)
	}
}

func with(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + strings.TrimSpace(s)
}

// localDesk works on the data directory itself.
type localDesk struct{ site *site }

func (d localDesk) close() error { return d.site.close() }

func (d localDesk) Apply(ctx context.Context, name string, text []byte, try bool) (api.Plan, error) {
	return d.site.apply(ctx, name, text, localActor(), try, nil)
}

func (d localDesk) Document(ctx context.Context) ([]byte, error) { return d.site.document(ctx) }

func (d localDesk) Simulate(ctx context.Context, name string, text []byte) (api.Plan, error) {
	return d.site.apply(ctx, name, text, localActor(), true, nil)
}

func (d localDesk) Explain(ctx context.Context, cam string, at time.Time) (policy.Answer, error) {
	return d.site.explain(ctx, cam, at)
}

// accountsDeclared is who may log in, as a description says it.
func (s *site) accountsDeclared(ctx context.Context) ([]identity.Declared, error) {
	accounts, err := s.accounts(commandActor())
	if err != nil {
		return nil, err
	}
	return accounts.List(ctx)
}
