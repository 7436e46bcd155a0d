package render

// For tests.
var Library = library

const PollInterval = pollInterval
