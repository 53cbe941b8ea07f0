package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Bounds of a server that falls silent, and of this process towards it.
const (
	postgresPatience = time.Minute
	connectTimeout   = 10 * time.Second
	// idleInTransaction ends, on the server, the transaction of a writer that
	// stopped in its middle: until then it would hold up a take-over.
	idleInTransaction = 10 * time.Second
	postgresConns     = 8
)

// CheckPostgres tells whether the text is an address of a PostgreSQL database.
// It connects to nothing.
func CheckPostgres(url string) error {
	_, err := parsePostgres(url)
	return err
}

func parsePostgres(url string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the address of the PostgreSQL ledger: %w: write it as postgres://user@host:5432/database", err)
	}
	return c, nil
}

// openPostgres returns the writers and the readers of a database, and its name
// without secrets. Nothing is connected yet.
func openPostgres(url, password string) (rw, ro *sql.DB, where string, err error) {
	c, err := parsePostgres(url)
	if err != nil {
		return nil, nil, "", err
	}
	if password != "" {
		c.Password = password
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{
		Timeout:         c.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	c.DialFunc = dialer.DialContext
	params := map[string]string{"application_name": "nines", "synchronous_commit": "on"}
	for name, value := range params {
		if _, given := c.RuntimeParams[name]; !given {
			c.RuntimeParams[name] = value
		}
	}
	writers := c.Copy()
	writers.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(idleInTransaction.Milliseconds(), 10)
	where = fmt.Sprintf("postgres://%s@%s/%s", c.User, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database)
	return postgresHandle(writers), postgresHandle(c), where, nil
}

func postgresHandle(c *pgx.ConnConfig) *sql.DB {
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour) // so that a new primary or certificate is found
	return db
}

// postgresDialect returns the PostgreSQL dialect. Evaluators commit side by
// side, under REPEATABLE READ: of two transactions that change one row the
// second fails instead of overwriting what it did not see, and is run again.
func postgresDialect() *dialect {
	return &dialect{
		name:       "postgresql",
		migrations: []string{postgresSchema1, postgresInventory, postgresLog, postgresDays, sharedBlocks},
		rebind:     numbered,
		explain:    explainPostgres,
		integrity:  func(context.Context, *sql.DB) error { return nil }, // pages have checksums where the cluster was made with them
		tidy:       func(context.Context, *sql.DB) error { return nil }, // autovacuum does
		copyTo:     copyRows,
		restored: []string{
			`SELECT setval('commit_numbers', GREATEST((SELECT MAX(commits) FROM claims), 1))`,
			`SELECT setval(pg_get_serial_sequence('gaps', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM gaps), false)`,
			`SELECT setval(pg_get_serial_sequence('unplaced', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM unplaced), false)`,
			`ANALYZE groups`, `ANALYZE hours`, `ANALYZE days`, `ANALYZE day_slots`, // else the first queries are planned for empty tables
		},
		readTx:     sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		writeTx:    sql.TxOptions{Isolation: sql.LevelRepeatableRead},
		again:      contended,
		patience:   postgresPatience,
		text:       storableText,
		unprepared: true,
		// LOCK TABLE takes no snapshot: as a first statement it lets the
		// transaction see all that it waited for.
		lockSchema: `LOCK TABLE schema_version IN EXCLUSIVE MODE`,
		lockDays:   noCommits,
		lockOrder:  `LOCK TABLE schema_version IN EXCLUSIVE MODE`,
		lockRetry:  noCommits,
		lockFacts:  `LOCK TABLE inventory_facts IN SHARE ROW EXCLUSIVE MODE`,
		lockEvents: `LOCK TABLE exclusion_events IN SHARE ROW EXCLUSIVE MODE`,
		share:      ` FOR SHARE`,
		nextCommit: `SELECT nextval('commit_numbers')`,
	}
}

// noCommits waits for the commits under way and keeps others from beginning:
// each writes to claims first.
const noCommits = `LOCK TABLE claims IN SHARE ROW EXCLUSIVE MODE`

// numbered turns question marks into $1, $2 and so on. No statement of this
// package has one in a string.
func numbered(q string) string {
	var b strings.Builder
	b.Grow(len(q) + 3*strings.Count(q, "?"))
	for n := 1; ; n++ {
		before, after, found := strings.Cut(q, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		q = after
	}
}

// storableText replaces what text in PostgreSQL cannot hold, zeros and bytes
// that are not UTF-8: a name that an agent made up must not stop the ledger.
func storableText(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// SQLSTATE codes that this package tells apart.
const (
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateUnique        = "23505"
	stateObject        = "42710"
	stateTable         = "42P07"
	stateDiskFull      = "53100"
)

// contended says that a transaction failed because another one ran beside it.
// Two that announce the same group, or create the same table, meet as a
// violated uniqueness.
func contended(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	return slices.Contains([]string{stateSerialization, stateDeadlock, stateUnique, stateObject, stateTable}, e.Code)
}

// explainPostgres says in words what the operator can do about an error.
func explainPostgres(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return explainConnection(err)
	}
	switch e.Code {
	case stateDiskFull:
		return fmt.Errorf("%w: nothing was written; free space on the database's volume (%w)", ErrFull, err)
	case stateSerialization, stateDeadlock, stateUnique, stateObject, stateTable:
		return fmt.Errorf("other transactions got in the way %d times: try again (%w)", maxTries, err)
	case "25006":
		return fmt.Errorf("%w: the server is a read-only standby; name the primary, or both with target_session_attrs=read-write (%w)", ErrUnreachable, err)
	case "25P03":
		return fmt.Errorf("%w: the server ended a transaction in whose middle this process stood still for %s; try again (%w)", ErrUnreachable, idleInTransaction, err)
	case "28P01", "28000":
		return fmt.Errorf("the server refuses the user: check user, password and pg_hba.conf (%w)", err)
	case "3D000":
		return fmt.Errorf("there is no such database: create it with createdb (%w)", err)
	case "3F000":
		return fmt.Errorf("there is no such schema: create it, or leave search_path out of the address (%w)", err)
	case "42501":
		return fmt.Errorf("the user may not do this: make it the owner of the database, or grant CREATE on its schema (%w)", err)
	case "53300":
		return fmt.Errorf("%w: the server has no connection left: raise max_connections (%w)", ErrUnreachable, err)
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "57":
		return fmt.Errorf("%w: the server stops, starts or ended the connection; try again (%w)", ErrUnreachable, err)
	case "XX":
		return fmt.Errorf("%w: the server finds its files damaged; restore a backup (%w)", ErrDamaged, err)
	}
	return err
}

// explainConnection explains errors that no server sent.
func explainConnection(err error) error {
	var connect *pgconn.ConnectError
	var network net.Error
	for _, lost := range []bool{
		errors.As(err, &connect), errors.As(err, &network), errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded),
		strings.Contains(err.Error(), "conn closed"),
	} {
		if lost {
			return fmt.Errorf("%w: check that PostgreSQL runs and can be reached from here; the same call succeeds when it is back (%w)", ErrUnreachable, err)
		}
	}
	return err
}
