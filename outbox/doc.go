// Package outbox is a durable queue between the acceptance of an entry and its delivery. Once Put returns, the entry
// is either delivered or stays visible until somebody decides about it, whatever happens to the process meanwhile.
//
// # States
//
//	pending      accepted, not tried yet
//	sending      a worker is sending it
//	retrying     tried, and will be tried again
//	uncertain    tried, and may have been accepted although no answer reached us: it is looked for
//	backlogged   accepted by the account, which keeps it back: it is looked up until it is sent
//	sent         delivered to at least one recipient
//	rejected     refused for every recipient
//	dead         given up: refused for good, or tried for as long as RetryFor says
//	expired      useless before it could be delivered
//	discarded    removed by the operator
//	unrendered   accepted, with content that could not be rendered yet; waits for the operator
//
// Entries in the states sent, rejected, expired and discarded are forgotten after Keep. Their content is wiped when
// they get there, unless KeepContent is set and the entry is not private. Dead and unrendered ones stay, content
// included, until somebody retries or discards them. Of each, the oldest are dropped beyond a bound, with the event
// "lost".
//
// # What survives what
//
// An entry is one row of the table entry, in SQLite or PostgreSQL, and each change of its state is one committed
// statement. The process may be killed at any moment. What it was sending is uncertain then: the next process finds
// it at once on SQLite, and another one within a minute on PostgreSQL. Delivery is at least once, and twice at most:
// an entry whose outcome is unknown is looked for, sent once more if nobody can tell, and is dead after a second
// unknown outcome.
//
// # Holds
//
// When an account itself cannot send (invalid key, payment, suspension, rate limit), the outbox holds all of its
// entries and probes with one of them, after 1 s at first and every 30 s at most, or after what Retry-After asks for.
// The first success releases the hold, and the account starts slowly. A sub-account or a sender can be held in the
// same way. What is held occupies no worker and counts no attempt. Holds are rows of the table hold, so that all
// processes see the same ones, and one of them alone probes.
//
// # Who may call what
//
// All methods may be called at any time. Until the database has been reached, and while it does not store, those that
// need it return ErrUnavailable at once. A Deliverer is called by workers, each of which has claimed its entry; see
// Deliverer. Notify is called by the goroutine whose commit it reports, after the commit. It must not block and must
// not call the Outbox.
//
// # Where to look
//
//	put.go         accepting entries, and their keys
//	claim.go       claiming what is due
//	plan.go        sharing workers out between lanes: accounts, holds, urgency
//	content.go     reading large contents within bounds
//	work.go        making an attempt
//	judge.go       deciding what the result of an attempt means for the entry and for holds
//	outcome.go     storing what became of an attempt
//	hold.go        holds: what begins, extends and ends them
//	probe.go       what probes them, with an entry and without
//	pace.go        how many entries a second an account takes that has asked for fewer
//	pause.go       pauses by the operator
//	lease.go       taking over what a killed process was sending
//	admit.go       holds and budgets for callers that deliver entries themselves
//	settle.go      entries that their caller delivers
//	mailevent.go   what was reported of a mail after it was sent
//	order.go       entries of the same recipient that must keep their order
//	retry.go       retrying
//	operate.go     discarding, and changing many entries
//	refused.go     what an account refuses, and what cannot be opened
//	list.go        searching
//	status.go      counting
//	forget.go      forgetting, expiring and bounding
//	maintain.go    what is done from time to time
//	move.go        moving to another database, and backing up
//	seal.go        encrypting content
//	internal/database   SQL on SQLite and PostgreSQL, and group commit
package outbox
