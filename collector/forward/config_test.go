package forward

import (
	"strings"
	"testing"

	"nines/internal/telemetry"
	"nines/internal/yamlconf"

	"github.com/VictoriaMetrics/metrics"
)

// nested reads a configuration as the collector's does.
type nested struct {
	Forward Config `yaml:"forward"`
}

// Check implements yamlconf.Checker.
func (n *nested) Check(doc *yamlconf.Doc) yamlconf.Errors { return doc.Place("", n.Forward.Validate()) }

func TestMistakesHavePositions(t *testing.T) {
	err := yamlconf.LoadBytes("nines.yaml", []byte(`forward:
  targets:
    - name: "a b"
      url: victoria:8428
      protocol: "3.0"
      match: ["{"]
      write_relabel_configs:
        - action: hashmod
          target_label: x
      timeout: -1s
      basic_auth: {username: u}
      headers: {Content-Type: x}
`), &nested{})
	if err == nil {
		t.Fatal("impossible values passed")
	}
	for _, want := range []string{
		"nines.yaml:3:13: forward.targets[0].name:", "nines.yaml:4:12: forward.targets[0].url:", "nines.yaml:5:17: forward.targets[0].protocol:",
		"nines.yaml:6:15: forward.targets[0].match[0]:", "nines.yaml:8:11: forward.targets[0].write_relabel_configs[0]:",
		"nines.yaml:10:16: forward.targets[0].timeout:", "nines.yaml:11:19: forward.targets[0].basic_auth:", "nines.yaml:12:31: forward.targets[0].headers.Content-Type:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("misses %q in:\n%v", want, err)
		}
	}
}

// Selection sees the series as it is, relabelling writes what is sent.
func TestSeriesAreChosenAndRelabelled(t *testing.T) {
	var c nested
	if err := yamlconf.LoadBytes("nines.yaml", []byte(`forward:
  targets:
    - name: a
      url: http://victoria:8428/api/v1/write
      match: ['{__name__=~"cpu_.*"}']
      write_relabel_configs:
        - {target_label: cluster, replacement: gulf}
        - {action: labeldrop, regex: rack}
        - {action: drop, source_labels: [__name__], regex: cpu_noise}
`), &c); err != nil {
		t.Fatal(err)
	}
	tr, err := newTranslator(&c.Forward.Targets[0], newMeters(metrics.NewSet(), "a"))
	if err != nil {
		t.Fatal(err)
	}
	sc := telemetry.NewSchema([]telemetry.Series{{Name: "cpu_idle", Kind: telemetry.Gauge}, {Name: "cpu_noise", Kind: telemetry.Gauge}, {Name: "mem", Kind: telemetry.Gauge}})
	f := &telemetry.Frame{Agent: "w", Boot: 1, Seq: 1, Host: telemetry.NewLabels(map[string]string{"host": "w", "rack": "r1"}),
		Blocks: []telemetry.Block{{Fingerprint: sc.Fingerprint, Schema: sc, Times: []int64{1000}, Values: []float64{1, 2, 3}}}}
	got := tr.frame(nil, f, 1000, false)
	if len(got) != 1 || got[0].value != 1 || got[0].series.labels.String() != `{__name__="cpu_idle", cluster="gulf", host="w"}` {
		t.Errorf("sends %v", got)
	}
	if again := tr.frame(nil, f, 1000, false); len(again) > 0 {
		t.Errorf("a repeated frame gives %v", again)
	}
}
