package wire

import (
	"encoding/json"
	"fmt"

	"nines/internal/alert"
)

// EncodeAlert returns the key and the value of an alert's record on
// nines.alerts. The key makes compaction keep each alert's last word.
func EncodeAlert(a *alert.Alert) (key, value []byte, err error) {
	value, err = json.Marshal(a)
	if err != nil {
		return nil, nil, fmt.Errorf("encode alert: %w", err)
	}
	return []byte(a.Key()), value, nil
}
