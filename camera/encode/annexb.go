//go:build cgo

package encode

// splitAnnexB cuts a byte stream at its start codes (two or three zeros and a one) and leaves out empty
// units. The parts alias b.
func splitAnnexB(b []byte) [][]byte {
	var out [][]byte
	start := -1
	for i := 0; i+2 < len(b); i++ {
		if b[i] != 0 || b[i+1] != 0 || b[i+2] != 1 {
			continue
		}
		if start >= 0 {
			out = appendUnit(out, b[start:i])
		}
		start = i + 3
		i += 2
	}
	if start >= 0 {
		out = appendUnit(out, b[start:])
	}
	return out
}

// appendUnit leaves out trailing zeros: they belong to the next start code, a unit ends in a stop bit.
func appendUnit(out [][]byte, unit []byte) [][]byte {
	for len(unit) > 0 && unit[len(unit)-1] == 0 {
		unit = unit[:len(unit)-1]
	}
	if len(unit) == 0 {
		return out
	}
	return append(out, unit)
}
