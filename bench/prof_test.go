package main
import "testing"
func BenchmarkEval(b *testing.B) {
	f, err := prepareEvaluate(30*86_400_000)
	if err != nil { b.Fatal(err) }
	b.ResetTimer()
	for i := 0; i < b.N; i++ { v, err := f(); if err != nil { b.Fatal(err) }; b.ReportMetric(v, "ms/tick") }
}
