package outbox

import "context"

// Order reports whether an earlier ordered entry of the same sender that shares a recipient with this one is
// unfinished, and if none is, to which of the recipients a later one was sent.
func (o *Outbox) Order(ctx context.Context, entry Entry) (waits bool, late []string, err error) {
	s, err := o.opened()
	if err != nil {
		return false, nil, err
	}
	const unfinished = "entry.state IN ('pending', 'sending', 'retrying', 'uncertain', 'backlogged')"
	waits, err = s.shares(ctx, entry.Sender, entry.Recipients, unfinished, "", entry.ID)
	if err != nil || waits {
		return waits, nil, err
	}
	for _, recipient := range entry.Recipients {
		sent, err := s.shares(ctx, entry.Sender, []string{recipient}, "entry.state = 'sent'", entry.ID, "")
		if err != nil {
			return false, nil, err
		}
		if sent {
			late = append(late, recipient)
		}
	}
	return false, late, nil
}

// shares reports whether there is an ordered entry of the sender with one of the recipients that meets a condition, of
// those after one ID and before another.
func (s *store) shares(
	ctx context.Context,
	sender string,
	recipients []string,
	condition, after, before string,
) (bool, error) {
	if len(recipients) == 0 {
		return false, nil
	}
	a := new(arguments)
	query := "SELECT count(*) FROM (SELECT 1 FROM recipient JOIN entry ON entry.id = recipient.entry " +
		"WHERE recipient.hash IN (" + a.list(recipients) + ") " +
		"AND entry.ordered = 1 AND entry.sender = " + a.add(sender) + " AND " + condition
	if after != "" {
		query += " AND recipient.entry > " + a.add(after)
	}
	if before != "" {
		query += " AND recipient.entry < " + a.add(before)
	}
	n, err := s.number(ctx, query+" LIMIT 1) AS found", a.values...)
	return n > 0, err
}

// isRestated reports whether an entry whose key is taken by the first one is new all the same: another ordered entry
// of the same recipients came in between.
func (s *store) isRestated(ctx context.Context, entry *New, first *row) (bool, error) {
	recipients := first.Recipients
	if len(recipients) == 0 { // it could not be rendered
		for _, recipient := range entry.Recipients {
			recipients = append(recipients, s.hash(recipient))
		}
	}
	return s.shares(ctx, first.Sender, recipients, "1 = 1", first.ID, entry.ID)
}
