// Package wire is the bytes of every record that nines writes to Kafka;
// docs/wire.md specifies them. Decoders never panic and never allocate more
// than their input justifies, whatever the bytes.
package wire
