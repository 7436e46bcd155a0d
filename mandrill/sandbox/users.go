package sandbox

import "time"

// since is when the account, its domains and their records were made.
const since = "2026-01-01 00:00:00"

func (s *Sandbox) ping(none) (any, error) { return "PONG!", nil }

func (s *Sandbox) ping2(none) (any, error) { return map[string]string{"PING": "PONG!"}, nil }

// userInfo describes the account. All of its mail is from today: the sandbox began with the process.
func (s *Sandbox) userInfo(none) (any, error) {
	sent, backlog := s.counts("")
	stats := make(map[string]any)
	for _, period := range []string{
		"today", "last_7_days", "last_30_days", "last_60_days", "last_90_days", "all_time",
	} {
		stats[period] = mailStats(sent)
	}
	return map[string]any{
		"username": "sandbox@example.com", "created_at": since, "public_id": "sandbox", "reputation": 100,
		"hourly_quota": 10000, "backlog": backlog, "stats": stats,
	}, nil
}

func mailStats(sent int) map[string]int {
	return map[string]int{
		"sent": sent, "hard_bounces": 0, "soft_bounces": 0, "rejects": 0, "complaints": 0, "unsubs": 0, "opens": 0,
		"unique_opens": 0, "clicks": 0, "unique_clicks": 0,
	}
}

// counts returns how many recipients mails were sent to, and how many wait, by the mails that are kept. A sub-account
// narrows it to its own.
func (s *Sandbox) counts(subaccount string) (sent, backlog int) {
	for _, mail := range s.Mails() {
		if subaccount != "" && mail.Message.Subaccount != subaccount {
			continue
		}
		for _, recipient := range mail.Recipients {
			switch state, _ := s.ending(mail, recipient); state {
			case "sent", "bounced":
				sent++
			case "queued":
				backlog++
			}
		}
	}
	return sent, backlog
}

// stamp is a time as Mandrill writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) }
