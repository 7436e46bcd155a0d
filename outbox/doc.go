// Package outbox is a durable queue between the acceptance of an entry and its delivery. What Put
// has returned for is delivered or stays visible until somebody decides about it, whatever
// happens to the process in between.
//
// # States
//
//	pending      accepted, not tried yet
//	sending      a worker has it
//	retrying     tried, and will be tried again
//	sent         delivered to at least one recipient
//	rejected     refused for every recipient
//	dead         given up: refused for good, or tried for as long as RetryFor says
//	expired      of no more use before it could be delivered
//	discarded    taken out by the operator
//	unrendered   accepted, with content that couldn't be made yet; waits for the operator
//
// Entries in the states sent, rejected, expired and discarded are forgotten after Keep; their content
// goes when they get there, unless KeepContent is set and the entry isn't private. Dead and
// unrendered ones stay, content included, until somebody retries or discards them.
//
// # What survives what
//
// An entry is one row of River's table river_job, in SQLite or PostgreSQL, and each change of its state is
// one committed statement. The process may be killed at any moment: what it was sending is then
// found in the state sending, and is taken up again as uncertain, at once by the next process on
// SQLite, and within a minute by another one on PostgreSQL. An uncertain entry waits for 20 seconds
// after its attempt began; the Deliverer is told, and may look up what became of the attempt before it
// sends again: delivery is at least once.
//
// # Attempts
//
// A failed attempt is followed by another after 1 s, growing to 15 minutes, until RetryFor has passed. An
// account's trouble holds its sender instead: all its entries wait, one of them is tried after 1 s,
// growing to 30 s, and the first success releases them. Time in a hold counts against an entry's own expiry
// only. Entries of senders that this process has no account for wait untouched.
package outbox
