package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"klarsyn/policy"
)

// place is a YAML text in which the way to a field can be looked up, so that what is wrong is named with line and column.
type place struct {
	name string
	file *ast.File
}

// fieldFault is what is wrong with a field, and what it should be. Path is the way to it: "$.permits[0].retention". Node is what
// stands there; nil: it is looked up.
type fieldFault struct {
	path, what string
	node       ast.Node
}

// faultList is everything that is wrong with a file.
type faultList struct {
	place  place
	faults []fieldFault
}

func (f *faultList) add(path, format string, args ...any) {
	f.faults = append(f.faults, fieldFault{path: path, what: fmt.Sprintf(format, args...)})
}

// at adds what is wrong with a node.
func (f *faultList) at(node ast.Node, what string) {
	f.faults = append(f.faults, fieldFault{node.GetPath(), what, node})
}

func (f *faultList) below(path string, faults []policy.Fault) {
	for _, one := range faults {
		f.faults = append(f.faults, fieldFault{path: path + "." + one.Field, what: one.What})
	}
}

// err is nil if nothing is wrong; else each fault on a line of its own, in the order of the file.
func (f *faultList) err() error {
	if len(f.faults) == 0 {
		return nil
	}
	type line struct {
		line, column int
		text         string
	}
	var lines []line
	for _, one := range f.faults {
		l, c := f.place.of(one.path)
		if one.node != nil && one.node.GetToken() != nil {
			position := start(one.node)
			l, c = position.Line, position.Column
		}
		what := one.what
		if field := strings.TrimLeft(one.path, "$."); field != "" {
			what = field + ": " + what
		}
		lines = append(lines, line{l, c, fmt.Sprintf("%s:%d:%d: %s", f.place.name, l, c, what)})
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		if a.line != b.line {
			return a.line - b.line
		}
		return a.column - b.column
	})
	var texts []string
	for _, l := range lines {
		if !slices.Contains(texts, l.text) {
			texts = append(texts, l.text)
		}
	}
	return usageError{fmt.Errorf("%s", redact(strings.Join(texts, "\n")))}
}

// of is where a field stands, or the nearest thing around it that does.
func (p place) of(path string) (line, column int) {
	for path != "$" && path != "" {
		if at, err := yaml.PathString(path); err == nil {
			if node, err := at.FilterFile(p.file); err == nil && node != nil && node.GetToken() != nil {
				position := start(node)
				return position.Line, position.Column
			}
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return 1, 1
}

// has reports whether any of the keys stands at the top.
func (p place) has(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool {
		at, err := yaml.PathString("$." + key)
		if err != nil {
			return false
		}
		node, err := at.FilterFile(p.file)
		return err == nil && node != nil
	})
}

// start is the token with which a node begins: of a mapping, its first key.
func start(node ast.Node) *struct{ Line, Column int } {
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		node = m.Values[0].Key
	}
	if m, ok := node.(*ast.MappingValueNode); ok {
		node = m.Key
	}
	p := node.GetToken().Position
	return &struct{ Line, Column int }{p.Line, p.Column}
}

// decodeStrict reads a YAML text into v. A key that is not there, a value of the wrong form and a text that is no YAML are
// errors with line and column.
func decodeStrict(name string, text []byte, v any) (place, error) {
	p := place{name: name}
	var err error
	if p.file, err = parser.ParseBytes(text, 0); err != nil {
		return p, yamlError(name, err)
	}
	for i, doc := range p.file.Docs {
		if i > 0 && doc.Body != nil { // it would be passed over
			at := start(doc.Body)
			return p, usageError{fmt.Errorf("%s:%d:%d: a second document begins: want one, without a line of ---", name, at.Line, at.Column)}
		}
	}
	scalars := &faultList{place: p}
	for _, doc := range p.file.Docs {
		ast.Walk(scalarCheck{scalars}, doc)
	}
	if err := scalars.err(); err != nil {
		return p, err
	}
	if err := yaml.UnmarshalWithOptions(text, v, yaml.Strict()); err != nil {
		return p, yamlError(name, err)
	}
	return p, nil
}

// yamlError is an error of the YAML library with its place. The text around it is not quoted: in it may stand a password.
func yamlError(name string, err error) error {
	const mend = "correct it; the example that klarsyn init writes, and deploy/sergelstorg.yaml, show every key and its form"
	what, line, column := err.Error(), 1, 1
	var known yaml.Error
	if errors.As(err, &known) {
		what = known.GetMessage()
		if t := known.GetToken(); t != nil {
			line, column = t.Position.Line, t.Position.Column
		}
	}
	var form *yaml.TypeError
	if errors.As(err, &form) {
		what = fmt.Sprintf("it is %s: want %s", formOf(form.SrcType), formOf(form.DstType))
	}
	return usageError{fmt.Errorf("%s:%d:%d: %s: %s\n[%[2]d:%[3]d]", name, line, column, redact(what), mend)}
}

// formOf says of a type what a person writes.
func formOf(t reflect.Type) string {
	switch {
	case t == nil:
		return "nothing"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr:
		return "a whole number"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return "a list"
	case t.Kind() == reflect.Pointer:
		return formOf(t.Elem())
	}
	return "keys with values"
}

// scalarCheck looks at values whose form the library does not check, or whose place it does not tell.
type scalarCheck struct{ faults *faultList }

func (c scalarCheck) Visit(node ast.Node) ast.Visitor {
	switch node := node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		// A few names that stand for one another multiply into more than a machine holds; the library falls over some tags.
		c.faults.at(node, "anchors, aliases, merges and tags are not read: write out what is meant")
		return nil
	case *ast.NanNode, *ast.InfinityNode:
		c.faults.at(node, "want a number that is one")
	case *ast.MappingValueNode:
		if what := badValue(node.Key.String(), node.Value); what != "" {
			c.faults.at(node.Value, what)
		}
	}
	return c
}

// badValue says what is wrong with the value of a key; empty: nothing that the library does not find.
func badValue(key string, node ast.Node) string {
	value, scalar := node.(ast.ScalarNode)
	var text string
	if scalar {
		if text = fmt.Sprint(value.GetValue()); value.GetToken() != nil {
			text = value.GetToken().Value
		}
	}
	switch node.(type) {
	case *ast.NullNode:
		// Much of what is left out means that there is no limit: what somebody began to write must not mean that.
		if strings.Count(node.GetPath(), ".") > 1 {
			return "it has no value: give it one, or leave it out"
		}
		return ""
	case *ast.FloatNode:
		if slices.Contains([]string{"version", "min_cell", "max_cameras", "width", "height"}, key) {
			return text + ": want a whole number"
		}
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		return ""
	}
	var err error
	switch key {
	case "retention", "log_retention", "keys_keep":
		_, err = policy.ParsePeriod(text)
	case "valid_from", "valid_to", "effective":
		if _, e := time.Parse(time.RFC3339, text); e != nil {
			err = fmt.Errorf("%s: want an instant such as 2026-01-31T00:00:00+01:00", strconv.Quote(text))
		}
	case "from", "to":
		_, err = policy.ParseClockTime(text)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
