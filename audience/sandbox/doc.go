// Package sandbox stands in for the Mailchimp Marketing API, for development and tests: it keeps members in memory,
// treats them as Mailchimp does, and shows them on a page.
//
//	GET    /3.0/ping
//	GET    /3.0/lists/<list>
//	GET    /3.0/lists/<list>/members
//	POST   /3.0/lists/<list>/members                 400 Member Exists for a known address
//	GET    /3.0/lists/<list>/members/<hash>
//	PUT    /3.0/lists/<list>/members/<hash>
//	PATCH  /3.0/lists/<list>/members/<hash>
//	DELETE /3.0/lists/<list>/members/<hash>          archives
//	GET    /3.0/lists/<list>/members/<hash>/tags
//	POST   /3.0/lists/<list>/members/<hash>/tags
//	GET    /3.0/                                     the page, which can unsubscribe somebody and forget all
//	GET    /3.0/sandbox/members                      all members, as JSON
//	DELETE /3.0/sandbox/members                      forgets all
//	POST   /3.0/sandbox/fail                         makes the next calls fail: see Failure
//
// Any key is taken that doesn't begin with "invalid", and any list that doesn't begin with "unknown". The addresses
// fake@, forgotten@ and compliance@ of any domain get the answers that Mailchimp has for such people.
package sandbox
