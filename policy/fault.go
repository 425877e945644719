package policy

import "fmt"

// Fault is what is wrong with one field of a document, and what it should be. Field is the way to it from the document,
// such as "schedule.weekly[0].from".
type Fault struct{ Field, What string }

func (f Fault) Error() string { return f.Field + ": " + f.What }

type faults []Fault

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, Fault{field, fmt.Sprintf(format, args...)})
}

// below puts the faults of a part under its field.
func (f *faults) below(field string, part []Fault) {
	for _, p := range part {
		*f = append(*f, Fault{field + "." + p.Field, p.What})
	}
}
