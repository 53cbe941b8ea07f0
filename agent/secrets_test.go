package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf/plugins/inputs/procstat"
	"pgregory.net/rapid"

	"nines/agent/telegraf"
)

// Whatever a file holds is what the input gets.
func TestSecretsArriveAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Agent: "a", Dir: dir, Inputs: "[[inputs.procstat]]\npid_file = \"${file:secret}\"\n"}
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[ -~äß€\t]{1,40}`).Draw(t, "secret")
		if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		files, sec, err := cfg.inputFiles()
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := telegraf.Load(files, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := loaded[0].Input.(*procstat.Procstat).PidFile; got != secret {
			t.Fatalf("got %q, want %q", got, secret)
		}
		if len(secret) >= minHidden && strings.Contains(Hide("x"+secret+"y", sec.values), secret) {
			t.Fatalf("%q is shown", secret)
		}
	})
}

func TestSecretFileThatIsNotThere(t *testing.T) {
	cfg := Config{Agent: "a", Dir: t.TempDir(), Inputs: "# ${file:comment}\n[[inputs.procstat]]\npid_file = \"${file:none}\"\n", inputsLine: 10}
	err := cfg.CheckInputs()
	if err == nil || !strings.Contains(err.Error(), ":12:1: ${file:}: read secret: ") || strings.Contains(err.Error(), "comment") {
		t.Errorf("got %v", err)
	}
}
