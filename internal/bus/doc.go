// Package bus is the one door to Kafka: every role and the agent read and write
// their topics through it, and nothing else imports the client library.
//
// What it promises:
//
//   - A Producer writes to one explicit partition, waits for all replicas and
//     keeps one request in flight, so that what it was given lands in order.
//     The library has no idempotence: a request whose answer is lost may have
//     been stored, and a retry stores it again. Readers therefore drop repeats
//     by what the records say (agent and sequence, cursors).
//   - A Reader belongs to its caller alone. It hides nothing: errors are
//     returned, the high watermark is known, a position outside the log is
//     ErrOutOfRange, and a damaged batch is ErrCorrupt with the offset at which
//     reading can go on.
//   - A Group hands out generations of partition assignments. A generation's
//     context ends before the next one starts, commits are fenced by the
//     coordinator, partitions stay where they are when members come and go, and
//     a member that stops leaves the group so that its successor starts at once.
//   - A Table is one compacted partition held as a map.
//   - Trouble with the broker is retried for ever by ProduceRetry, Group and
//     Table.Run, and is logged once when it begins and once when it is over. The
//     words say which address was tried and what to look at.
//
// Reads are uncommitted: records of foreign transactional producers are
// delivered when they are written, aborted or not.
package bus
