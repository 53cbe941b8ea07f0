package ledger

// The log of closed hours. A row of log_hours is one leaf of the log: an hour of
// many groups that closed, or what was added to a logged hour later. log_pending
// are versions of slots that wait for the latter. members comes last, so that
// the rest of a row is read without it.

const sqliteLog = `
CREATE TABLE log_state (
	until INTEGER NOT NULL,
	pruned INTEGER NOT NULL,
	secret BLOB NOT NULL
);
INSERT INTO log_state (until, pruned, secret) VALUES (-9223372036854775807, -9223372036854775807, x'');
CREATE TABLE log_hours (
	leaf INTEGER PRIMARY KEY,
	hour INTEGER NOT NULL,
	logged_at INTEGER NOT NULL,
	groups INTEGER NOT NULL,
	root BLOB NOT NULL,
	members BLOB NOT NULL
);
CREATE INDEX log_hours_hour ON log_hours (hour);
CREATE TABLE log_pending (
	hour INTEGER NOT NULL,
	group_id INTEGER NOT NULL,
	start INTEGER NOT NULL,
	version INTEGER NOT NULL,
	PRIMARY KEY (hour, group_id, start, version)
) WITHOUT ROWID;
`

const postgresLog = `
CREATE TABLE log_state (
	until BIGINT NOT NULL,
	pruned BIGINT NOT NULL,
	secret BYTEA NOT NULL
) WITH (fillfactor = 20);
INSERT INTO log_state (until, pruned, secret) VALUES (-9223372036854775807, -9223372036854775807, '');
CREATE TABLE log_hours (
	leaf BIGINT PRIMARY KEY,
	hour BIGINT NOT NULL,
	logged_at BIGINT NOT NULL,
	groups BIGINT NOT NULL,
	root BYTEA NOT NULL,
	members BYTEA NOT NULL
);
CREATE INDEX log_hours_hour ON log_hours (hour);
CREATE TABLE log_pending (
	hour BIGINT NOT NULL,
	group_id BIGINT NOT NULL,
	start BIGINT NOT NULL,
	version BIGINT NOT NULL,
	PRIMARY KEY (hour, group_id, start, version)
);
`
