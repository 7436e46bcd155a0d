package sandbox

import (
	"slices"
	"strings"
	"time"
)

// subaccount is a part of the account that can be paused by itself.
type subaccount struct {
	id, name, notes string
	quota           *int
	created         time.Time
	paused          bool
	// resumed is when a pause ended last.
	resumed time.Time
}

type subaccountArguments struct {
	ID     string  `json:"id"`
	Name   *string `json:"name"`
	Notes  *string `json:"notes"`
	Quota  *int    `json:"custom_quota"`
	Prefix string  `json:"q"`
}

// maxSubaccounts bounds the memory that they take.
const maxSubaccounts = 1000

func (s *Sandbox) listSubaccounts(a subaccountArguments) (any, error) {
	s.mu.Lock()
	found := []subaccount{}
	for _, sub := range s.subaccounts {
		if strings.HasPrefix(sub.id, a.Prefix) || strings.HasPrefix(sub.name, a.Prefix) {
			found = append(found, *sub)
		}
	}
	s.mu.Unlock()
	list := []map[string]any{}
	for _, sub := range found {
		list = append(list, s.subaccountState(sub))
	}
	return list, nil
}

func (s *Sandbox) addSubaccount(a subaccountArguments) (any, error) {
	if a.ID == "" {
		return nil, invalidField("id", "Please enter a value")
	}
	added := subaccount{id: a.ID, created: time.Now()}
	added.change(a)
	if err := s.rememberSubaccount(added); err != nil {
		return nil, err
	}
	return s.subaccountState(added), nil
}

func (s *Sandbox) rememberSubaccount(added subaccount) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subaccountIndex(added.id) >= 0 {
		return invalidField("id", "A subaccount with this id already exists")
	}
	if len(s.subaccounts) >= maxSubaccounts {
		return validation("The sandbox keeps %d subaccounts at most", maxSubaccounts)
	}
	s.subaccounts, s.hasSubaccounts = append(s.subaccounts, &added), true
	return nil
}

// knowsSubaccounts reports whether one was ever added. Until then, messages may name any.
func (s *Sandbox) knowsSubaccounts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasSubaccounts
}

func (sub *subaccount) change(a subaccountArguments) {
	if a.Name != nil {
		sub.name = *a.Name
	}
	if a.Notes != nil {
		sub.notes = *a.Notes
	}
	if a.Quota != nil {
		sub.quota = a.Quota
	}
}

// subaccountIndex returns the place of a sub-account, or -1. The lock is held.
func (s *Sandbox) subaccountIndex(id string) int {
	return slices.IndexFunc(s.subaccounts, func(sub *subaccount) bool { return sub.id == id })
}

// changeSubaccount changes a sub-account, and returns its state afterwards.
func (s *Sandbox) changeSubaccount(id string, change func(*subaccount)) (any, error) {
	changed, known := s.withSubaccount(id, change)
	if !known {
		return nil, noSubaccount(id)
	}
	return s.subaccountState(changed), nil
}

// withSubaccount changes a sub-account, and returns a copy of it.
func (s *Sandbox) withSubaccount(id string, change func(*subaccount)) (subaccount, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.subaccountIndex(id)
	if i < 0 {
		return subaccount{}, false
	}
	sub := s.subaccounts[i]
	change(sub)
	return *sub, true
}

func noSubaccount(id string) error {
	return unknown("Unknown_Subaccount", "No subaccount exists with the id %s", id)
}

func (s *Sandbox) updateSubaccount(a subaccountArguments) (any, error) {
	return s.changeSubaccount(a.ID, func(sub *subaccount) { sub.change(a) })
}

func (s *Sandbox) pauseSubaccount(a subaccountArguments) (any, error) {
	return s.changeSubaccount(a.ID, func(sub *subaccount) { sub.paused = true })
}

// resumeSubaccount sends what the pause kept back.
func (s *Sandbox) resumeSubaccount(a subaccountArguments) (any, error) {
	state, err := s.changeSubaccount(a.ID, func(sub *subaccount) { sub.paused, sub.resumed = false, time.Now() })
	s.announceReleased()
	return state, err
}

func (s *Sandbox) deleteSubaccount(a subaccountArguments) (any, error) {
	return s.changeSubaccount(a.ID, func(deleted *subaccount) {
		s.subaccounts = slices.DeleteFunc(slices.Clone(s.subaccounts), func(sub *subaccount) bool { return sub == deleted })
	})
}

func (s *Sandbox) subaccountInfo(a subaccountArguments) (any, error) {
	found, known := s.subaccountOf(a.ID)
	if !known {
		return nil, noSubaccount(a.ID)
	}
	state := s.subaccountState(found)
	sent, _ := s.counts(a.ID)
	state["notes"], state["sent_hourly"], state["hourly_quota"] = found.notes, sent, 10000
	if found.quota != nil {
		state["hourly_quota"] = *found.quota
	}
	state["last_30_days"] = mailStats(sent)
	return state, nil
}

// subaccountOf returns a sub-account by its ID.
func (s *Sandbox) subaccountOf(id string) (subaccount, bool) {
	return s.withSubaccount(id, func(*subaccount) {})
}

func (s *Sandbox) subaccountState(sub subaccount) map[string]any {
	sent, _ := s.counts(sub.id)
	state := map[string]any{
		"id": sub.id, "name": sub.name, "created_at": stamp(sub.created), "first_sent_at": nil, "status": "active",
		"reputation": 100, "sent_weekly": sent, "sent_monthly": sent, "sent_total": sent,
	}
	if sub.paused {
		state["status"] = "paused"
	}
	if sub.quota != nil {
		state["custom_quota"] = *sub.quota
	}
	for _, mail := range slices.Backward(s.Mails()) {
		if mail.Message.Subaccount == sub.id {
			state["first_sent_at"] = stamp(mail.Time)
			break
		}
	}
	return state
}
