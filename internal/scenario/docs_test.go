package scenario_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nines/internal/scenario"
	"nines/internal/scenario/script"
)

// TestDocsRun runs the scenarios that docs/scenarios.md shows, as if they stood
// beside the shipped contracts.
func TestDocsRun(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```scenario\n")[1:]
	if len(blocks) < 2 {
		t.Fatal("no examples")
	}
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		list, err := script.Parse(filepath.Join(configs, "contracts", "docs.scenario"), []byte(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			r, err := scenario.Run(t.Context(), s, scenario.Options{})
			if err != nil {
				t.Error(err)
			}
			for _, f := range r.Failures {
				t.Error(f)
			}
		}
	}
}
