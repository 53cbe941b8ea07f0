// Package collector measures nines side by side with what a user would take
// instead: on one machine, from the same topics of one Apache Kafka, whose own
// CPU time is not counted. It promises that every contestant is a process of its
// own as its project ships it, that what it has read is checked against what was
// written before a figure counts, and that nothing is left behind: processes end
// by their numbers, and all data lies in one temporary folder. The program bench
// calls it.
package collector
