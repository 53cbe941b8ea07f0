package ledger

// From schema 4 on, day_slots has the slots of packed days, and hours those of
// the newest days alone. The rows of an older ledger are all in hours after the
// migration, which takes seconds whatever its size; pack moves them from there,
// a day at a time.

// Rows of day_slots are of a kilobyte: in SQLite they need a table with row
// numbers, whose pages hold four, for in one without a row of more than a quarter
// of a page spills over into a page of its own.
const sqliteDays = `
CREATE TABLE day_slots (
	day INTEGER NOT NULL,
	group_id INTEGER NOT NULL,
	slots BLOB NOT NULL,
	PRIMARY KEY (day, group_id)
);
DELETE FROM days;
UPDATE packing SET until = -9223372036854775807;
`

const postgresDays = `
CREATE TABLE day_slots (
	day BIGINT NOT NULL,
	group_id BIGINT NOT NULL,
	slots BYTEA NOT NULL,
	PRIMARY KEY (day, group_id)
);
DROP VIEW hours;
INSERT INTO old_hours SELECT * FROM recent_hours;
DROP TABLE recent_hours;
ALTER TABLE old_hours RENAME TO hours;
ALTER TABLE hours SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200000);
ALTER INDEX old_hours_pkey RENAME TO hours_pkey;
ALTER INDEX hours_pkey SET (fillfactor = 90);
TRUNCATE days;
UPDATE packing SET until = -9223372036854775807;
`

// From schema 5 on, blocks tell who saw a good slot that is complete, and the
// hours of a packed day share their bytes. What an older ledger has is read as it
// is: the number alone keeps an older release away.
const sharedBlocks = ``
