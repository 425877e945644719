package hostile

import (
	"errors"
	"fmt"
	"math/bits"
)

// errShort says that a parameter set ended within a field.
var errShort = errors.New("the parameter set ends too early")

// reader takes bits from the payload of a NAL unit, without emulation prevention.
type reader struct {
	b     []byte
	at    int
	short bool
}

func (r *reader) bit() uint64 {
	if r.at >= 8*len(r.b) {
		r.short = true
		return 0
	}
	v := r.b[r.at/8] >> (7 - r.at%8) & 1
	r.at++
	return uint64(v)
}

func (r *reader) u(n int) uint64 {
	var v uint64
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// ue is an Exp-Golomb code; a signed one is the same bits, its number is only read another way.
func (r *reader) ue() uint64 {
	zeros := 0
	for r.bit() == 0 && !r.short {
		zeros++
	}
	if zeros > 32 {
		r.short = true
		return 0
	}
	return 1<<zeros - 1 + r.u(zeros)
}

// writer is reader's other side.
type writer struct {
	b    []byte
	free int // bits of the last byte
}

func (w *writer) bit(v uint64) {
	if w.free == 0 {
		w.b, w.free = append(w.b, 0), 8
	}
	w.free--
	w.b[len(w.b)-1] |= byte(v&1) << w.free
}

func (w *writer) u(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		w.bit(v >> i)
	}
}

func (w *writer) ue(v uint64) {
	n := bits.Len64(v + 1)
	w.u(0, n-1)
	w.u(v+1, n)
}

// rewrite copies a parameter set field by field and puts other values in the place of some. Fields that only the copy
// has, behind a flag that was changed, are zero unless set says otherwise.
type rewrite struct {
	in             reader
	out            writer
	set            map[string]uint64
	used           map[string]bool
	absent, hidden bool // the fields at hand are not in the source, not in the copy
}

// value is a field as it was and as it is.
type value struct{ was, is uint64 }

func (v value) both(f func(uint64) bool) (was, is bool) { return f(v.was), f(v.is) }

func flag(v uint64) bool { return v != 0 }

func (r *rewrite) field(name string, read func() uint64, write func(uint64)) value {
	var v value
	if !r.absent {
		v.was = read()
	}
	v.is = v.was
	if other, ok := r.set[name]; ok {
		v.is, r.used[name] = other, true
	}
	if !r.hidden {
		write(v.is)
	}
	return v
}

func (r *rewrite) u(name string, n int) value {
	return r.field(name, func() uint64 { return r.in.u(n) }, func(v uint64) { r.out.u(v, n) })
}

func (r *rewrite) ue(name string) value { return r.field(name, r.in.ue, r.out.ue) }

// when visits fields that the source has, the copy has, or both.
func (r *rewrite) when(was, is bool, fields func()) {
	if !was && !is {
		return
	}
	absent, hidden := r.absent, r.hidden
	r.absent, r.hidden = absent || !was, hidden || !is
	fields()
	r.absent, r.hidden = absent, hidden
}

// finish copies what is left, the stop bit with it, and puts the NAL unit's head and emulation prevention back.
func (r *rewrite) finish(head []byte) ([]byte, error) {
	last := 8 * len(r.in.b)
	for last > r.in.at && r.in.b[(last-1)/8]>>(7-(last-1)%8)&1 == 0 {
		last--
	}
	for r.in.at < last {
		r.out.bit(r.in.bit())
	}
	if r.in.short {
		return nil, errShort
	}
	for name := range r.set {
		if !r.used[name] {
			return nil, fmt.Errorf("the parameter set has no field %s", name)
		}
	}
	return append(append([]byte(nil), head...), protect(r.out.b)...), nil
}

func newRewrite(payload []byte, set map[string]uint64) *rewrite {
	return &rewrite{in: reader{b: unprotect(payload)}, set: set, used: map[string]bool{}}
}

// protect puts emulation prevention bytes in, unprotect takes them out.
func protect(b []byte) []byte {
	var out []byte
	zeros := 0
	for _, v := range b {
		if zeros == 2 && v <= 3 {
			out, zeros = append(out, 3), 0
		}
		if out = append(out, v); v == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}

func unprotect(b []byte) []byte {
	var out []byte
	zeros := 0
	for _, v := range b {
		if zeros == 2 && v == 3 {
			zeros = 0
			continue
		}
		if out = append(out, v); v == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}
