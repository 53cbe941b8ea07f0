package ledger

// sqliteSchema1 is the first schema. Rows that one commit touches lie side by
// side (by hour or slot first, then group), so that a commit of ten thousand
// groups writes hundreds of pages, not ten thousand.
const sqliteSchema1 = `
CREATE TABLE claims (
	partition INTEGER PRIMARY KEY,
	epoch INTEGER NOT NULL,
	owner TEXT NOT NULL,
	next_offset INTEGER NOT NULL,
	log_time INTEGER NOT NULL,
	sources TEXT NOT NULL,
	commits INTEGER NOT NULL
);
CREATE TABLE groups (
	id INTEGER PRIMARY KEY,
	stream TEXT NOT NULL,
	labels_hash INTEGER NOT NULL,
	labels TEXT NOT NULL,
	partition INTEGER NOT NULL,
	customer TEXT NOT NULL,
	first_slot INTEGER NOT NULL,
	retired INTEGER NOT NULL,
	UNIQUE (stream, labels_hash)
);
CREATE INDEX groups_partition ON groups (partition);
CREATE TABLE open_slots (
	group_id INTEGER NOT NULL,
	start INTEGER NOT NULL,
	slot BLOB NOT NULL,
	PRIMARY KEY (group_id, start)
) WITHOUT ROWID;
CREATE TABLE hours (
	hour INTEGER NOT NULL,
	group_id INTEGER NOT NULL,
	slots BLOB NOT NULL,
	good INTEGER NOT NULL,
	total INTEGER NOT NULL,
	good_slots INTEGER NOT NULL,
	bad_slots INTEGER NOT NULL,
	unknown_slots INTEGER NOT NULL,
	PRIMARY KEY (hour, group_id)
) WITHOUT ROWID;
CREATE TABLE days (
	day INTEGER NOT NULL,
	group_id INTEGER NOT NULL,
	totals BLOB NOT NULL,
	PRIMARY KEY (day, group_id)
) WITHOUT ROWID;
CREATE TABLE packing (
	until INTEGER NOT NULL
);
CREATE TABLE slot_versions (
	group_id INTEGER NOT NULL,
	start INTEGER NOT NULL,
	version INTEGER NOT NULL,
	slot BLOB NOT NULL,
	PRIMARY KEY (group_id, start, version)
) WITHOUT ROWID;
CREATE INDEX slot_versions_start ON slot_versions (start);
CREATE TABLE sketches (
	slot INTEGER NOT NULL,
	group_id INTEGER NOT NULL,
	hist BLOB NOT NULL,
	PRIMARY KEY (slot, group_id)
) WITHOUT ROWID;
CREATE TABLE statuses (
	group_id INTEGER NOT NULL,
	objective TEXT NOT NULL,
	log_time INTEGER NOT NULL,
	status BLOB NOT NULL,
	PRIMARY KEY (group_id, objective)
) WITHOUT ROWID;
CREATE TABLE rule_sets (
	id TEXT PRIMARY KEY,
	body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE rule_set_uses (
	partition INTEGER NOT NULL,
	since INTEGER NOT NULL,
	rule_set TEXT NOT NULL,
	PRIMARY KEY (partition, since)
) WITHOUT ROWID;
CREATE TABLE alerts (
	alert_key TEXT NOT NULL,
	starts_at INTEGER NOT NULL,
	ends_at INTEGER NOT NULL,
	partition INTEGER NOT NULL,
	firing INTEGER NOT NULL,
	customer TEXT NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (alert_key, starts_at)
) WITHOUT ROWID;
CREATE INDEX alerts_firing ON alerts (firing, ends_at);
CREATE TABLE gaps (
	id INTEGER PRIMARY KEY,
	log_time INTEGER NOT NULL,
	partition INTEGER NOT NULL,
	agent TEXT NOT NULL,
	boot INTEGER NOT NULL,
	first_seq INTEGER NOT NULL,
	last_seq INTEGER NOT NULL,
	from_time INTEGER NOT NULL,
	to_time INTEGER NOT NULL,
	reason TEXT NOT NULL
);
CREATE INDEX gaps_log_time ON gaps (log_time);
CREATE TABLE unplaced (
	id INTEGER PRIMARY KEY,
	log_time INTEGER NOT NULL,
	stream TEXT NOT NULL,
	labels_hash INTEGER NOT NULL,
	from_time INTEGER NOT NULL,
	to_time INTEGER NOT NULL,
	good INTEGER NOT NULL,
	total INTEGER NOT NULL
);
CREATE INDEX unplaced_log_time ON unplaced (log_time);
CREATE TABLE agents (
	agent TEXT NOT NULL,
	boot INTEGER NOT NULL,
	host TEXT NOT NULL,
	frames INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	repeats INTEGER NOT NULL,
	gap_frames INTEGER NOT NULL,
	last_seq INTEGER NOT NULL,
	newest INTEGER NOT NULL,
	skew INTEGER NOT NULL,
	first_seen INTEGER NOT NULL,
	last_seen INTEGER NOT NULL,
	PRIMARY KEY (agent, boot)
) WITHOUT ROWID;
CREATE TABLE state (
	kind TEXT NOT NULL,
	state_key TEXT NOT NULL,
	body BLOB NOT NULL,
	PRIMARY KEY (kind, state_key)
) WITHOUT ROWID;
`
