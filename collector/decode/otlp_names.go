package decode

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/otlptranslator"

	"nines/internal/telemetry"
)

// wellKnown are the resource attributes that have another name as labels here.
func wellKnown(attribute string) string {
	switch attribute {
	case "host.name":
		return "host"
	case "cloud.region":
		return "region"
	case "cloud.availability_zone":
		return "zone"
	case "service.instance.id":
		return "instance"
	}
	return attribute
}

// describe names the series of the point that was read last, as Prometheus' own
// OTLP receiver names them.
func (o *otlp) describe() (*Set, error) {
	kind, err := o.metric.column()
	if err != nil {
		return nil, err
	}
	name, err := o.name(kind)
	if err != nil {
		return nil, err
	}
	labels, err := o.labels()
	if err != nil {
		return nil, err
	}
	switch o.metric.kind {
	case dataHistogram:
		return classic(name, labels, o.shape.bounds, kind), nil
	case dataSummary:
		set := &Set{Labels: labels}
		for _, q := range o.shape.quantiles {
			at := telemetry.Labels{{Name: "quantile", Value: boundText(q)}}
			set.Columns = append(set.Columns, Column{Name: name, Labels: labels.With(at), Kind: Gauge})
		}
		set.Columns = append(set.Columns, Column{Name: name + "_count", Labels: labels, Kind: kind}, Column{Name: name + "_sum", Labels: labels, Kind: kind})
		return set, nil
	}
	return &Set{Labels: labels, Columns: []Column{{Name: name, Labels: labels, Kind: kind}}}, nil
}

func (o *otlp) name(kind Kind) (string, error) {
	m := otlptranslator.Metric{Name: string(o.metric.name), Unit: string(o.metric.unit)}
	switch o.metric.kind {
	case dataGauge:
		m.Type = otlptranslator.MetricTypeGauge
	case dataSum:
		if m.Type = otlptranslator.MetricTypeNonMonotonicCounter; kind != Gauge {
			m.Type = otlptranslator.MetricTypeMonotonicCounter
		}
	case dataHistogram:
		m.Type = otlptranslator.MetricTypeHistogram
	case dataExponential:
		m.Type = otlptranslator.MetricTypeExponentialHistogram
	case dataSummary:
		m.Type = otlptranslator.MetricTypeSummary
	}
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	name, err := namer.Build(m)
	if err != nil {
		return "", fmt.Errorf("name metric %q: %w", o.metric.name, err)
	}
	return name, nil
}

// labels returns the labels of the point: of its resource, of its scope, and its
// own, of which the later go before the former.
func (o *otlp) labels() (telemetry.Labels, error) {
	all := map[string]string{}
	if err := addAttributes(all, o.resourceBytes, 1, true); err != nil {
		return nil, err
	}
	job, space := all["service_name"], all["service_namespace"]
	if space != "" && job != "" {
		job = space + "/" + job
	}
	if job != "" {
		all["job"] = job
	}
	m := message{b: o.scopeBytes}
	for m.next() {
		switch {
		case m.is(1, wireBytes):
			all["otel_scope_name"] = string(m.bytes)
		case m.is(2, wireBytes):
			all["otel_scope_version"] = string(m.bytes)
		}
	}
	if m.damaged {
		return nil, errMessage
	}
	if err := addAttributes(all, o.shape.attributes, o.metric.attributeField(), false); err != nil {
		return nil, err
	}
	return telemetry.NewLabels(all), nil
}

// addAttributes adds the attributes that a message holds under the field. Of
// those that become the same label, the values are joined by semicolons.
func addAttributes(all map[string]string, b []byte, field uint64, resource bool) error {
	namer := otlptranslator.LabelNamer{}
	own := map[string]string{}
	m := message{b: b}
	for m.next() {
		if !m.is(field, wireBytes) {
			continue
		}
		key, value, err := attribute(m.bytes)
		if err != nil {
			return err
		}
		if resource {
			key = wellKnown(key)
		}
		name, err := namer.Build(key)
		if err != nil {
			return fmt.Errorf("name attribute %q: %w", key, err)
		}
		if was, ok := own[name]; ok {
			value = was + ";" + value
		}
		own[name] = value
	}
	for name, value := range own {
		all[name] = value
	}
	return m.err()
}

// attribute reads a KeyValue.
func attribute(b []byte) (key, value string, err error) {
	m := message{b: b}
	for m.next() {
		switch {
		case m.is(1, wireBytes):
			key = string(m.bytes)
		case m.is(2, wireBytes):
			v, err := anyValue(m.bytes, 0)
			if err != nil {
				return "", "", err
			}
			value = textOf(v)
		}
	}
	if !utf8.ValidString(key) || !utf8.ValidString(value) {
		return "", "", errors.New("an attribute is no UTF-8")
	}
	return key, value, m.err()
}

// maxDepth bounds how deep lists lie in lists.
const maxDepth = 16

// anyValue reads an AnyValue: a string, a truth value, a number, bytes, a list
// or a map of them.
func anyValue(b []byte, depth int) (v any, err error) {
	if depth > maxDepth {
		return nil, errors.New("an attribute's lists lie too deep")
	}
	m := message{b: b}
	for m.next() && err == nil {
		switch {
		case m.is(1, wireBytes):
			v = string(m.bytes)
		case m.is(2, wireVarint):
			v = m.num != 0
		case m.is(3, wireVarint):
			v = int64(m.num)
		case m.is(4, wireFixed64):
			v = m.float()
		case m.is(5, wireBytes):
			v, err = listValue(m.bytes, depth)
		case m.is(6, wireBytes):
			v, err = mapValue(m.bytes, depth)
		case m.is(7, wireBytes):
			v = base64.StdEncoding.EncodeToString(m.bytes)
		}
	}
	if err == nil {
		err = m.err()
	}
	return v, err
}

func listValue(b []byte, depth int) (any, error) {
	list := []any{}
	m := message{b: b}
	for m.next() {
		if m.is(1, wireBytes) {
			v, err := anyValue(m.bytes, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
	}
	return list, m.err()
}

func mapValue(b []byte, depth int) (any, error) {
	values := map[string]any{}
	m := message{b: b}
	for m.next() {
		if !m.is(1, wireBytes) {
			continue
		}
		key := ""
		var value any
		kv := message{b: m.bytes}
		for kv.next() {
			switch {
			case kv.is(1, wireBytes):
				key = string(kv.bytes)
			case kv.is(2, wireBytes):
				var err error
				if value, err = anyValue(kv.bytes, depth+1); err != nil {
					return nil, err
				}
			}
		}
		if kv.damaged {
			return nil, errMessage
		}
		values[key] = value
	}
	return values, m.err()
}

// textOf writes a value as a label's: lists and maps as JSON.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return jsonFloat(v)
	}
	out, _ := json.Marshal(finite(v)) // of what anyValue returns, finite leaves nothing that it refuses
	return string(out)
}

// jsonFloat writes a number as JSON has it, NaN and infinities as words.
func jsonFloat(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// finite replaces what JSON cannot write by its text.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return jsonFloat(v)
		}
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = finite(v[k])
		}
	}
	return v
}
