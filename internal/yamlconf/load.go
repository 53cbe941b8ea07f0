package yamlconf

import (
	"fmt"
	"os"
)

// Checker is a configuration that checks itself after decoding: it reports
// impossible values through doc.Errorf, at their positions.
type Checker interface {
	Check(doc *Doc) Errors
}

// Load reads a configuration file of one document into into, a pointer that
// holds the defaults. An empty file changes nothing. If into is a Checker and
// the file decodes, it is asked too.
func Load(file string, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return LoadBytes(file, data, into)
}

// LoadBytes does what Load does with data that is already read; file names it
// in errors.
func LoadBytes(file string, data []byte, into any) error {
	doc, err := One(file, data)
	if err != nil {
		return err
	}
	if doc == nil {
		doc = &Doc{file: file}
	} else if err := doc.Decode(into); err != nil {
		return err
	}
	if c, ok := into.(Checker); ok {
		return c.Check(doc).Err()
	}
	return nil
}

// One parses a file that holds at most one document, nil where it holds none.
func One(file string, data []byte) (*Doc, error) {
	docs, err := Parse(file, data)
	switch {
	case err != nil:
		return nil, err
	case len(docs) == 0:
		return nil, nil
	case len(docs) > 1:
		return nil, Errors{docs[1].Errorf("", nil, "want one document, but a second begins here")}
	}
	return docs[0], nil
}
