// Package agent measures what nines-agent takes of a host, side by side with
// Telegraf: both measure this host with the same inputs, at the same interval,
// and send to the same Apache Kafka, which is charged to neither. It promises
// that a figure counts only where both delivered the same series, that CPU time
// is the kernel's own count of each process in the same stretch of time, and
// that nothing is left behind. The program bench calls it.
package agent
