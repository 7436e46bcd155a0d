package sandbox

import (
	"testing"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// TestBounds: the oldest mails make room for the newest.
func TestBounds(t *testing.T) {
	for _, test := range []struct {
		name             string
		size, sent, kept int
	}{
		{"number", 1, maxMails + 2, maxMails},
		{"size", 24 << 20, 12, 5},
		{"one that fills it", maxBytes / 2, 3, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New()
			request := make([]byte, test.size)
			mails := make([]*Mail, test.sent)
			for i := range mails {
				mails[i] = &Mail{Request: request}
				s.add(mails[i])
			}
			kept := s.Mails()
			if len(kept) != test.kept || kept[0] != mails[test.sent-1] || kept[test.kept-1] != mails[test.sent-test.kept] {
				t.Errorf("%d mails are kept", len(kept))
			}
			s.Clear()
			s.add(mails[0])
			if len(s.Mails()) != 1 {
				t.Error("what was forgotten takes room")
			}
		})
	}
}

// TestRecipientsTakeRoom: a short request may have many.
func TestRecipientsTakeRoom(t *testing.T) {
	s := New()
	for range 3 {
		s.add(&Mail{Recipients: make([]mandrill.Recipient, maxBytes/400)})
	}
	if kept := len(s.Mails()); kept != 2 {
		t.Errorf("%d mails are kept", kept)
	}
}
