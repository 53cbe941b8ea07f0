package ledger

// The tables of the inventory and the exclusions. Rows are only ever added: what
// corrects another row is a row of its own. Identities are given out under a
// lock, without gaps, and rise with the time of recording.
const (
	sqliteInventory = `
CREATE TABLE inventory_facts (
	id INTEGER PRIMARY KEY,
	resource TEXT NOT NULL,
	attribute TEXT NOT NULL,
	effective INTEGER NOT NULL,
	value TEXT NOT NULL,
	withdrawn INTEGER NOT NULL,
	recorded INTEGER NOT NULL,
	author TEXT NOT NULL,
	reason TEXT NOT NULL,
	supersedes INTEGER NOT NULL
);
CREATE TABLE exclusion_events (
	id INTEGER PRIMARY KEY,
	exclusion INTEGER NOT NULL,
	contract TEXT NOT NULL,
	customer TEXT NOT NULL,
	step TEXT NOT NULL,
	recorded INTEGER NOT NULL,
	author TEXT NOT NULL,
	reason TEXT NOT NULL,
	proposed TEXT NOT NULL
);
`
	postgresInventory = `
CREATE TABLE inventory_facts (
	id BIGINT PRIMARY KEY,
	resource TEXT COLLATE "C" NOT NULL,
	attribute TEXT COLLATE "C" NOT NULL,
	effective BIGINT NOT NULL,
	value TEXT COLLATE "C" NOT NULL,
	withdrawn INTEGER NOT NULL,
	recorded BIGINT NOT NULL,
	author TEXT COLLATE "C" NOT NULL,
	reason TEXT COLLATE "C" NOT NULL,
	supersedes BIGINT NOT NULL
);
CREATE TABLE exclusion_events (
	id BIGINT PRIMARY KEY,
	exclusion BIGINT NOT NULL,
	contract TEXT COLLATE "C" NOT NULL,
	customer TEXT COLLATE "C" NOT NULL,
	step TEXT COLLATE "C" NOT NULL,
	recorded BIGINT NOT NULL,
	author TEXT COLLATE "C" NOT NULL,
	reason TEXT COLLATE "C" NOT NULL,
	proposed TEXT COLLATE "C" NOT NULL
);
`
)
