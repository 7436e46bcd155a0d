package audience

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// Member is what an audience has of an address after a change.
type Member struct {
	Email string `json:"email_address"`
	// Status is one of Statuses; new ones may appear.
	Status string `json:"status"`
}

// Absent is the status of an address that isn't in the audience.
const Absent = "absent"

// Statuses are what an audience says of an address.
var Statuses = []string{"subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived", Absent}

// Apply makes a change in the audience, by several calls, and returns what became of its addresses, in the order of
// Change.Addresses. The timeout is that of one call. To apply a change again does no harm. Errors are *Error.
func (c *Client) Apply(ctx context.Context, list string, change *Change, timeout time.Duration) ([]Member, error) {
	a := &application{client: c, list: list, timeout: timeout, Change: change}
	members := make([]Member, 0, 2)
	var rejection error
	if change.Email != "" {
		member, err := a.update(ctx)
		var failure *Error
		switch {
		case errors.As(err, &failure) && (failure.Kind == Rejected || failure.Kind == Refused):
			// The address that is left is archived all the same.
			rejection = err
		case err != nil:
			return nil, err
		}
		members = append(members, member)
	}
	if change.leaves() {
		member, err := a.archive(ctx)
		if err != nil {
			return nil, err
		}
		members = append(members, member)
	}
	if rejection != nil {
		return nil, rejection
	}
	return members, nil
}

// application is a change on its way.
type application struct {
	client  *Client
	list    string
	timeout time.Duration
	*Change

	// left is the member that the person leaves, once it is known.
	left *Member
}

// member is the path of an address.
func (a *application) member(address string) string {
	return "lists/" + a.list + "/members/" + hash(address)
}

// update has the audience know what the change says of the person.
func (a *application) update(ctx context.Context) (Member, error) {
	status, err := a.statusIfNew(ctx)
	if err != nil {
		return Member{}, err
	}
	arguments := map[string]any{"email_address": a.Email}
	for name, value := range map[string]any{
		"merge_fields": a.MergeFields, "interests": a.Interests, "language": a.Language,
	} {
		if !empty(value) {
			arguments[name] = value
		}
	}
	const skip = "?skip_merge_validation=true"
	var member Member
	if status == "" {
		delete(arguments, "email_address")
		err = a.call(ctx, http.MethodPatch, a.member(a.Email)+skip, arguments, &member)
		if errors.Is(err, errAbsent) {
			return Member{Email: a.Email, Status: Absent}, nil
		}
	} else {
		arguments["status_if_new"] = status
		err = a.call(ctx, http.MethodPut, a.member(a.Email)+skip, arguments, &member)
	}
	if err != nil {
		return member, err
	}
	if member.Status == "archived" && (status == "subscribed" || status == "pending") {
		// Mailchimp leaves it archived, and doesn't say whether it had unsubscribed: the person is asked.
		asked := map[string]string{"status": "pending"}
		if err := a.call(ctx, http.MethodPatch, a.member(a.Email)+skip, asked, &member); err != nil {
			return member, err
		}
	}
	if len(a.Tags) > 0 {
		err = a.call(ctx, http.MethodPost, a.member(a.Email)+"/tags", map[string]any{"tags": a.Tags}, nil)
	}
	member.Email = a.Email
	return member, err
}

// statusIfNew is what the person becomes at a new address. Who unsubscribed the old one, or never confirmed it, has
// the same choice at the new one.
func (a *application) statusIfNew(ctx context.Context) (string, error) {
	if !a.leaves() || a.StatusIfNew != "subscribed" && a.StatusIfNew != "pending" {
		return a.StatusIfNew, nil
	}
	left, err := a.leftMember(ctx)
	if err != nil {
		return "", err
	}
	switch left.Status {
	case "unsubscribed", "pending":
		return left.Status, nil
	case "archived":
		// It may have unsubscribed before it was archived: Mailchimp doesn't tell.
		return "pending", nil
	}
	return a.StatusIfNew, nil
}

// leftMember looks at the address that the person leaves.
func (a *application) leftMember(ctx context.Context) (Member, error) {
	if a.left != nil {
		return *a.left, nil
	}
	var member Member
	err := a.call(ctx, http.MethodGet, a.member(a.Archive)+"?fields=status", nil, &member)
	if errors.Is(err, errAbsent) {
		member, err = Member{Status: Absent}, nil
	}
	if err != nil {
		return member, err
	}
	member.Email = a.Archive
	a.left = &member
	return member, nil
}

// archive takes an address out. One that unsubscribed or bounced stays: it gets nothing, and its record keeps it from
// being subscribed again.
func (a *application) archive(ctx context.Context) (Member, error) {
	member, err := a.leftMember(ctx)
	if err != nil {
		return member, err
	}
	switch member.Status {
	case "subscribed", "pending", "transactional":
		err = a.call(ctx, http.MethodDelete, a.member(a.Archive), nil, nil)
		if err != nil && !errors.Is(err, errAbsent) {
			return member, err
		}
		member.Status = "archived"
	}
	return member, nil
}

// errAbsent says that the address isn't in the audience. Where it was a moment ago, the change is to be made again.
var errAbsent = &Error{Kind: Retry, Err: errors.New("the address isn't in the audience")}

// call tells an address that isn't there from an audience that isn't.
func (a *application) call(ctx context.Context, method, path string, arguments, answer any) error {
	err := a.once(ctx, method, path, arguments, answer)
	var failure *Error
	if !errors.As(err, &failure) {
		if member, ok := answer.(*Member); ok && member.Status == "" {
			return &Error{Kind: Unknown, Status: http.StatusOK, Err: mailchimp.ErrNonsense}
		}
		return nil
	}
	if failure.Status != http.StatusNotFound || failure.Title == "" || method == http.MethodPut {
		return err
	}
	if missing := a.once(ctx, http.MethodGet, "lists/"+a.list+"?fields=id", nil, nil); missing != nil {
		return missing
	}
	return errAbsent
}

// once makes a call that ends in time.
func (a *application) once(ctx context.Context, method, path string, arguments, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.client.call(ctx, method, path, arguments, answer)
}
