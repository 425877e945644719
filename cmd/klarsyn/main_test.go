package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every command explains itself, with an example.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			if sub.Example == "" || sub.Short == "" {
				t.Errorf("%s has no example or no summary", sub.CommandPath())
			}
			args := append(strings.Fields(sub.CommandPath())[1:], "--help")
			var out, errs bytes.Buffer
			if code := run(t.Context(), args, stdio{&out, &errs}); code != exitOK || !strings.Contains(out.String(), "Examples:") {
				t.Errorf("%v: exit %d, says %q %q", args, code, out.String(), errs.String())
			}
			walk(sub)
		}
	}
	walk(rootCommand(stdio{&bytes.Buffer{}, &bytes.Buffer{}}))
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitOK, "Usage:"},
		{[]string{"version"}, exitOK, "klarsyn"},
		{[]string{"fsck"}, exitUsage, "--data is missing"},
		{[]string{"fsck", "extra", "--data", "x"}, exitUsage, "extra"},
		{[]string{"fsck", "--data", "/nowhere"}, exitUsage, "/nowhere"},
		{[]string{"frobnicate"}, exitUsage, "frobnicate"},
		{[]string{"serve", "--lissten", "x"}, exitUsage, "--help"},
		{[]string{"sim", "--cameras", "0"}, exitUsage, "--video"},
		{[]string{"sim", "--password-file", "/nowhere"}, exitUsage, "/nowhere"},
		{[]string{"demo", "--for", "-1s"}, exitUsage, "--for"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), c.args, stdio{&out, &errs})
		if said := out.String() + errs.String(); code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("klarsyn %v: exit %d, want %d; says %q, want %q", c.args, code, c.code, said, c.want)
		}
	}
}
