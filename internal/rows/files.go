package rows

import "errors"

// Options are what Open needs.
type Options struct {
	Mapping *Mapping
	// Files are read side by side, their points merged by time.
	Files []string
	// Strict ends the reading at the first row that is refused.
	Strict bool
}

// Files gives the points of several files in the order of their times.
type Files struct {
	Table   Table
	Counts  Counts
	readers []*reader
}

// Open opens the files.
func Open(o Options) (*Files, error) {
	f := &Files{}
	for _, name := range o.Files {
		t, err := openTable(name)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		r, err := newReader(t, o.Mapping, &f.Table, &f.Counts, o.Strict)
		f.readers = append(f.readers, &reader{table: t})
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.readers[len(f.readers)-1] = r
	}
	return f, nil
}

// Next returns the next point; ok is false after the last one.
func (f *Files) Next() (p Point, ok bool, err error) {
	var first *reader
	for _, r := range f.readers {
		next, there, err := r.peek()
		if err != nil {
			return p, false, err
		}
		if there && (first == nil || next.Time < p.Time) {
			first, p = r, next
		}
	}
	if first == nil {
		return p, false, nil
	}
	first.drop()
	return p, true, nil
}

// Progress returns how many bytes of the files were read, and how many there
// are; 0 where that is not known.
func (f *Files) Progress() (read, size int64) {
	for _, r := range f.readers {
		if r.table.size == 0 {
			return 0, 0
		}
		read, size = read+r.table.read.Load(), size+r.table.size
	}
	return min(read, size), size
}

// Close closes the files.
func (f *Files) Close() error {
	var errs []error
	for _, r := range f.readers {
		errs = append(errs, r.table.file.Close())
	}
	return errors.Join(errs...)
}
