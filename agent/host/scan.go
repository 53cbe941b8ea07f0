package host

import "bytes"

// cutLine splits off the first line, without its line feed.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// cutField splits off the first field; fields are separated by blanks.
func cutField(b []byte) (field, rest []byte) {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	j := i
	for j < len(b) && b[j] != ' ' && b[j] != '\t' {
		j++
	}
	return b[i:j], b[j:]
}

// uintField reads the first field as a decimal number; ok is false where it is
// none. Numbers beyond 64 bits wrap, as the kernel's counters do.
func uintField(b []byte) (v uint64, rest []byte, ok bool) {
	f, rest := cutField(b)
	v, ok = parseUint(f)
	return v, rest, ok
}

func parseUint(f []byte) (v uint64, ok bool) {
	if len(f) == 0 {
		return 0, false
	}
	for _, c := range f {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}

// parseInt reads a decimal number that may be negative.
func parseInt(f []byte) (float64, bool) {
	neg := len(f) > 1 && f[0] == '-'
	if neg {
		f = f[1:]
	}
	v, ok := parseUint(f)
	if neg {
		return -float64(v), ok
	}
	return float64(v), ok
}

// parseFixed reads a decimal such as 0.25 or 12.
func parseFixed(f []byte) (float64, bool) {
	whole, frac, has := bytes.Cut(f, []byte{'.'})
	v, ok := parseUint(whole)
	if !ok || !has {
		return float64(v), ok
	}
	n, ok := parseUint(frac)
	scale := 1.0
	for range frac {
		scale *= 10
	}
	return (float64(v)*scale + float64(n)) / scale, ok && len(frac) < 10
}
