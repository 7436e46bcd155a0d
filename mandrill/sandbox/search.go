package sandbox

import (
	"slices"
	"strings"
	"time"
)

const (
	// searchedDays is how far back a search looks that names no dates.
	searchedDays = 7
	defaultLimit = 100
	maxLimit     = 1000
)

type searchArguments struct {
	Query    string   `json:"query"`
	DateFrom string   `json:"date_from"`
	DateTo   string   `json:"date_to"`
	Tags     []string `json:"tags"`
	Senders  []string `json:"senders"`
	Limit    int      `json:"limit"`
}

// search finds messages by a query, and within days, tags and senders.
func (s *Sandbox) search(c call) (any, error) {
	var a searchArguments
	if err := decode(c.body, &a); err != nil {
		return nil, err
	}
	if !s.maySearch() {
		return nil, unknown("RequestLimitExceeded", "Too Many Requests attempted recently")
	}
	within, err := days(a.DateFrom, a.DateTo)
	if err != nil {
		return nil, err
	}
	found := []map[string]any{}
	if c.failure.FindsNothing {
		return found, nil
	}
	limit := a.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	matches := parseQuery(a.Query, s.searchable)
	lag := s.Settings().lag
	for _, mail := range s.Mails() {
		if !within(mail.Time) || time.Since(mail.Time) < lag ||
			len(a.Tags) > 0 && !hasAny(mail.Message.Tags, a.Tags) ||
			len(a.Senders) > 0 && !hasAny([]string{mail.Message.FromEmail}, a.Senders) {
			continue
		}
		for _, recipient := range mail.Recipients {
			if len(found) < min(limit, maxLimit) && matches(mail, recipient) {
				found = append(found, s.infoOf(mail, recipient))
			}
		}
	}
	return found, nil
}

// searchable reports whether a field of the metadata can be searched.
func (s *Sandbox) searchable(field string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.settings.OnlyIndexed || s.metadataIndex(field) >= 0
}

func hasAny(values, wanted []string) bool {
	return slices.ContainsFunc(values, func(value string) bool {
		return slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(value, w) })
	})
}

// days returns a test whether a time is on one of the days, which are UTC and may be left out.
func days(from, to string) (func(time.Time) bool, error) {
	first, last := time.Now().UTC().AddDate(0, 0, -searchedDays).Format(time.DateOnly), "9999-12-31"
	for field, given := range map[string]struct {
		text string
		day  *string
	}{"date_from": {from, &first}, "date_to": {to, &last}} {
		if given.text == "" {
			continue
		}
		if _, err := time.Parse(time.DateOnly, given.text); err != nil {
			return nil, invalidField(field, "Please enter a valid date, YYYY-MM-DD")
		}
		*given.day = given.text
	}
	return func(t time.Time) bool {
		day := t.UTC().Format(time.DateOnly)
		return first <= day && day <= last
	}, nil
}

type scheduledArguments struct {
	To string `json:"to"`
}

// listScheduled returns the messages that wait for their time.
func (s *Sandbox) listScheduled(a scheduledArguments) (any, error) {
	list := []map[string]string{}
	for _, mail := range s.Mails() {
		for _, recipient := range mail.Recipients {
			state, _ := s.ending(mail, recipient)
			if state != "scheduled" || a.To != "" && !strings.EqualFold(recipient.Email, a.To) {
				continue
			}
			list = append(list, map[string]string{
				"_id": recipient.ID, "created_at": stamp(mail.Time), "send_at": stamp(mail.sendAt),
				"from_email": mail.Message.FromEmail, "to": recipient.Email, "subject": mail.Message.Subject,
			})
		}
	}
	return list, nil
}
