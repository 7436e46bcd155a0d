package render

// For tests.
var (
	Abandoned    = abandoned.Load
	MaxAbandoned = maxAbandoned
	Library      = library
)

const PollInterval = pollInterval
