package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"klarsyn/policy"
)

// described is what holds, as a description that apply takes: of each permit the versions that are not over.
func (s *site) described(ctx context.Context) (Declaration, error) {
	if err := s.current.poll(ctx); err != nil {
		return Declaration{}, err
	}
	h := s.current.now()
	d := Declaration{Cameras: h.Cameras, Groups: h.Groups}
	var err error
	if d.Users, err = s.accountsDeclared(ctx); err != nil {
		return d, err
	}
	for _, v := range h.permits.Versions() {
		pc := permitConfig{Permit: v.Permit, State: v.Decided()}
		if n := len(v.Steps); n > 0 && pc.State != policy.Active {
			last := v.Steps[n-1]
			pc.Reason, pc.Unlawful = last.Reason, last.Unlawful
			if !last.Effective.IsZero() {
				pc.Effective = &last.Effective
			}
		}
		if pc.State != policy.Superseded && pc.State != policy.Expired {
			d.Permits = append(d.Permits, pc)
		}
	}
	return d, nil
}

// document is the same as YAML.
func (s *site) document(ctx context.Context) ([]byte, error) {
	d, err := s.described(ctx)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(d)
}

// kinds are what get knows, with a line of a table for each.
var kinds = []string{"permits", "cameras", "groups", "users", "all"}

func getCommand(std stdio) *cobra.Command {
	var t target
	var format string
	cmd := &cobra.Command{
		Use:   "get " + strings.Join(kinds, "|"),
		Short: "Show what holds of the square",
		Long: `get shows what holds: permits, cameras, groups, users, or all of it. The YAML of all is a description that klarsyn
apply takes. It holds no password.`,
		Example: "  klarsyn get permits --data /var/lib/klarsyn\n  klarsyn get all --data /var/lib/klarsyn -o yaml > square.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(kinds, args[0]) {
				return usageError{fmt.Errorf("get what? want one of %s", strings.Join(kinds, ", "))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if t.asJSON {
				format = "json"
			}
			return t.get(cmd.Context(), std, args[0], format)
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "table", "yaml, json or table")
	return cmd
}

func (t *target) get(ctx context.Context, std stdio, kind, format string) error {
	if !slices.Contains([]string{"yaml", "json", "table"}, format) {
		return usageError{fmt.Errorf("--output is %q: want yaml, json or table", format)}
	}
	d, err := t.open(ctx, std)
	if err != nil {
		return err
	}
	text, err := d.Document(ctx)
	if err = errors.Join(err, d.close()); err != nil {
		return err
	}
	var all Declaration
	if err := yaml.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("reading what holds: %w", err)
	}
	shown := all
	if kind != "all" {
		shown = Declaration{}
		switch kind {
		case "permits":
			shown.Permits = all.Permits
		case "cameras":
			shown.Cameras = all.Cameras
		case "groups":
			shown.Groups = all.Groups
		case "users":
			shown.Users = all.Users
		}
	}
	if format == "table" {
		return printTables(std.out, shown)
	}
	out, err := yaml.Marshal(shown)
	if err == nil && format == "json" {
		out, err = yaml.YAMLToJSON(out)
	}
	if err != nil {
		return err
	}
	_, err = std.out.Write(out)
	return err
}

func printTables(w io.Writer, d Declaration) error {
	tw := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	if len(d.Permits) > 0 {
		fmt.Fprintln(tw, "PERMIT\tSTATE\tREGIME\tBASIS\tCAMERAS\tHOURS\tRETENTION\tUNTIL")
		for _, p := range d.Permits {
			until := "open end"
			if end := p.Ends(); !end.IsZero() {
				until = end.Format(time.RFC3339)
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Ref(), p.State, p.Regime, p.Basis, strings.Join(p.Cameras, ","), p.Schedule, p.Retention, until)
		}
	}
	if len(d.Cameras) > 0 {
		fmt.Fprintln(tw, "CAMERA\tNAME\tADDRESS\tZONES")
		for _, c := range d.Cameras {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%d\n", c.ID, c.Name, c.URL, len(c.Zones))
		}
	}
	if len(d.Groups) > 0 {
		fmt.Fprintln(tw, "GROUP\tCAMERAS\tROLES")
		for _, g := range d.Groups {
			fmt.Fprintf(tw, "%s\t%s\t%v\n", g.ID, strings.Join(g.Cameras, ","), g.Roles)
		}
	}
	if len(d.Users) > 0 {
		fmt.Fprintln(tw, "USER\tROLE\tDISABLED")
		for _, u := range d.Users {
			fmt.Fprintf(tw, "%s\t%s\t%v\n", u.Name, u.Role, u.Disabled)
		}
	}
	return tw.Flush()
}
