package decode

import "fmt"

func errorAtLine(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) }
