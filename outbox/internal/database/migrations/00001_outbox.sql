-- +goose Up
-- Times are Unix milliseconds and 0 where there is none. bytea is a blob on SQLite too.
CREATE TABLE entry (
	id text PRIMARY KEY,
	state text NOT NULL,
	sender text NOT NULL,
	subaccount text NOT NULL,
	-- lane names what is claimed together: urgency, sender, sub-account and template.
	lane text NOT NULL,
	hook text NOT NULL,
	template text NOT NULL,
	handler text NOT NULL,
	trace text NOT NULL,
	private int NOT NULL,
	ordered int NOT NULL,
	-- claimed: whoever put the entry delivers it. unrendered: the content is what it is to be rendered from.
	claimed int NOT NULL,
	unrendered int NOT NULL,
	revived int NOT NULL,
	-- key_taken is 0 where the key is free for another entry.
	key text NOT NULL,
	key_taken int NOT NULL,
	key_until bigint NOT NULL,
	accepted bigint NOT NULL,
	due bigint NOT NULL,
	expires bigint NOT NULL,
	ended bigint NOT NULL,
	-- lease is when another process may take over what is being sent.
	lease bigint NOT NULL,
	owner text NOT NULL,
	-- attempt is raised by each claim, and fences what its worker writes.
	attempt int NOT NULL,
	-- What counts: failed attempts, attempts whose outcome is unknown, the delays of all retries, and
	-- attempts that met a hold.
	tries int NOT NULL,
	unknowns int NOT NULL,
	retried bigint NOT NULL,
	holds int NOT NULL,
	backlogged bigint NOT NULL,
	reason text NOT NULL,
	recipients text NOT NULL,
	outcome text NOT NULL,
	attempts text NOT NULL,
	events text NOT NULL,
	-- last_event is the kind of the last of events.
	last_event text NOT NULL DEFAULT '',
	content bytea
);

-- The entry that has a key.
CREATE UNIQUE INDEX entry_by_key ON entry (key) WHERE key_taken = 1;
-- What can be sent next in a lane, and which lanes there are.
CREATE INDEX entry_by_lane ON entry (lane, due) WHERE state IN ('pending', 'retrying');
-- What is to be looked up next.
CREATE INDEX entry_by_lookup ON entry (due) WHERE state IN ('uncertain', 'backlogged');
-- Lists and counts by state. What was sent is nearly all, and is counted by its end.
CREATE INDEX entry_by_state ON entry (state, id) WHERE state <> 'sent';
-- What can be forgotten.
CREATE INDEX entry_by_end ON entry (state, ended) WHERE state IN ('sent', 'rejected', 'expired', 'discarded');
-- What expires.
CREATE INDEX entry_by_expiry ON entry (expires) WHERE expires > 0 AND ended = 0;
-- Lists by what was last reported of a mail.
CREATE INDEX entry_by_event ON entry (last_event, id) WHERE last_event <> '';
-- What a process that died was sending.
CREATE INDEX entry_by_lease ON entry (lease) WHERE lease > 0;

-- The keyed hashes of an entry's recipients.
CREATE TABLE recipient (
	hash text NOT NULL,
	entry text NOT NULL,
	PRIMARY KEY (hash, entry)
);
CREATE INDEX recipient_by_entry ON recipient (entry);

-- Mandrill's ids of an entry's messages.
CREATE TABLE message (
	id text NOT NULL,
	entry text NOT NULL,
	PRIMARY KEY (id, entry)
);
CREATE INDEX message_by_entry ON message (entry);

-- Holds and pauses. scope is key, subaccount, domain, pause or pause_template.
CREATE TABLE hold (
	scope text NOT NULL,
	target text NOT NULL,
	sender text NOT NULL,
	reason text NOT NULL,
	since bigint NOT NULL,
	entry text NOT NULL,
	probe bigint NOT NULL,
	delay bigint NOT NULL,
	generation bigint NOT NULL,
	-- prober names the claim that makes the probe of this generation.
	prober text NOT NULL,
	PRIMARY KEY (scope, target)
);

-- Counts by 5 minutes, from which charts are drawn. Each process has rows of its own.
CREATE TABLE tally (
	time bigint NOT NULL,
	sender text NOT NULL,
	process text NOT NULL,
	accepted int NOT NULL,
	sent int NOT NULL,
	refused int NOT NULL,
	waiting int NOT NULL,
	PRIMARY KEY (time, sender, process)
);

-- How often an account was asked in a window of time, by all processes together.
CREATE TABLE budget (
	name text PRIMARY KEY,
	time bigint NOT NULL,
	used int NOT NULL
);

CREATE TABLE setting (
	name text PRIMARY KEY,
	value text NOT NULL
);
