package host

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"nines/internal/telemetry"
)

// SysctlFS reads how many files, inodes and directory entries the kernel holds,
// and their limits, from /proc/sys/fs, as Telegraf's linux_sysctl_fs input does.
// A file that this kernel lacks gives no series.
type SysctlFS struct {
	files []sysctlFile
	buf   [attrSize]byte
	table table
}

// sysctlFile is a file of numbers; a column without a name is left out.
type sysctlFile struct {
	attr
	columns []string
}

// NewSysctlFS returns the reader. It looks which of the files there are: the
// kernel has them or has not.
func NewSysctlFS(r Roots) *SysctlFS {
	r = r.fill()
	s := &SysctlFS{}
	add := func(file string, columns ...string) {
		f := sysctlFile{attr{path: r.Proc + "/sys/fs/" + file}, columns}
		if _, err := f.read(&s.buf); errors.Is(err, unix.ENOENT) {
			return
		}
		s.files = append(s.files, f)
		for _, name := range columns {
			if name != "" {
				s.table.add("linux_sysctl_fs_"+name, telemetry.Gauge, nil)
			}
		}
	}
	add("aio-nr", "aio_nr")
	add("aio-max-nr", "aio_max_nr")
	add("dquot-nr", "dquot_nr")
	add("dquot-max", "dquot_max")
	add("super-nr", "super_nr")
	add("super-max", "super_max")
	add("inode-state", "inode_nr", "inode_free_nr", "inode_preshrink_nr")
	add("dentry-state", "dentry_nr", "dentry_unused_nr", "dentry_age_limit", "dentry_want_pages")
	add("file-nr", "file_nr", "", "file_max")
	return s
}

// Close closes the files.
func (s *SysctlFS) Close() error {
	for i := range s.files {
		s.files[i].close()
	}
	return nil
}

// Read measures once.
func (s *SysctlFS) Read() ([]telemetry.Series, []float64, error) {
	at := 0
	for i := range s.files {
		f := &s.files[i]
		text, err := f.read(&s.buf)
		if err != nil {
			return nil, nil, fmt.Errorf("read limits of files: %w", err)
		}
		for _, name := range f.columns {
			var word []byte
			word, text = cutField(text)
			if name == "" {
				continue
			}
			v, ok := parseInt(word)
			if !ok {
				v = absent
			}
			s.table.values[at] = v
			at++
		}
	}
	return s.table.result()
}
