package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// Settings are how the account behaves until they are changed. The zero Settings make it generous.
type Settings struct {
	// OnlyIndexed has searches by metadata find only the fields that metadata/add has added, as at Mandrill. Default: all
	// fields can be searched.
	OnlyIndexed bool `json:"only_indexed_metadata,omitempty"`
	// SearchesPerMinute is how many searches are answered within a minute; more get RequestLimitExceeded. Mandrill allows
	// 20. Default: no limit.
	SearchesPerMinute int `json:"searches_per_minute,omitempty"`
	// SearchLag is how old a message must be to be found, as a duration. Default: 0.
	SearchLag string `json:"search_lag,omitempty"`

	lag time.Duration
}

// Set changes how the account behaves from now on. An error names the field that is wrong.
func (s *Sandbox) Set(settings Settings) error {
	if settings.SearchesPerMinute < 0 {
		return errors.New("searches_per_minute: must not be negative")
	}
	if settings.SearchLag != "" {
		var err error
		if settings.lag, err = time.ParseDuration(settings.SearchLag); err != nil || settings.lag < 0 {
			return fmt.Errorf("search_lag: %q is not a duration such as 20s", settings.SearchLag)
		}
	}
	limit, err := newBucket(settings.SearchesPerMinute, "")
	if err != nil {
		return err
	}
	if limit != nil {
		limit.fills = time.Minute
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings, s.searches = settings, limit
	s.change()
	return nil
}

// Settings returns how the account behaves.
func (s *Sandbox) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

func (s *Sandbox) settingsRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /sandbox/settings", func(w http.ResponseWriter, _ *http.Request) {
		respond(w, http.StatusOK, s.Settings())
	})
	mux.HandleFunc("PUT /sandbox/settings", mailchimp.FailureHandler(s.Set))
}

// maySearch takes one of the searches that the settings allow.
func (s *Sandbox) maySearch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.searches == nil || s.searches.take(time.Now())
}
