package rules

import (
	"fmt"
	"slices"
	"strings"

	"klarsyn/policy"
)

// Group is a group of cameras, and the roles that have to do with it.
type Group struct {
	ID    string
	Roles []policy.Role
}

// WithGroups is the text in which each role of a group may there what it may in the default group, and no other role anything.
// The truth table says the same of each group, so that a group is checked like everything else.
func (t Text) WithGroups(groups []Group) Text {
	if len(groups) == 0 {
		return t
	}
	var lines, truths strings.Builder
	for _, g := range groups {
		for _, line := range fieldsOf(t.Policy) {
			if len(line) == 6 && line[4] == policy.DefaultGroup && slices.Contains(g.Roles, policy.Role(line[2])) {
				fmt.Fprintf(&lines, "p, %s:%s, %s, %s, %s, %s\n", line[1], g.ID, line[2], line[3], g.ID, line[5])
			}
		}
		for _, line := range fieldsOf(t.Truth) {
			if len(line) != 5 || line[2] != policy.DefaultGroup {
				continue
			}
			verdict := line[4]
			if !slices.Contains(g.Roles, policy.Role(line[0])) {
				verdict = "deny"
			}
			fmt.Fprintf(&truths, "%s, %s, %s, %s, %s\n", line[0], line[1], g.ID, line[3], verdict)
		}
	}
	t.Policy += "\n" + lines.String()
	t.Truth += "\n" + truths.String()
	return t
}

// Names reports whether the text itself speaks of a group of that name: no other can have it.
func (t Text) Names(group string) bool {
	names := func(text string, column int) bool {
		return slices.ContainsFunc(fieldsOf(text), func(line []string) bool { return len(line) > column && line[column] == group })
	}
	return names(t.Policy, 4) || names(t.Truth, 2)
}

// fieldsOf are the fields of a text's lines, without comments. The text has been read as CSV before: no field is quoted.
func fieldsOf(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, ",")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		all = append(all, fields)
	}
	return all
}
