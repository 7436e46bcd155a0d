package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// newTable is a table with a first line.
func newTable(cmd *cobra.Command, columns ...string) *tabwriter.Writer {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(columns, "\t"))
	return table
}

// since is the time that has passed, for people.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	passed := time.Since(t)
	switch {
	case passed < time.Minute:
		return fmt.Sprintf("%ds", int(passed.Seconds()))
	case passed < time.Hour:
		return fmt.Sprintf("%dm", int(passed.Minutes()))
	case passed < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(passed.Hours()), int(passed.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(passed.Hours()/24))
	}
}

// printable takes from a text what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// oneLine makes a text fit a table.
func oneLine(text string) string {
	const width = 100
	if runes := []rune(printable(text)); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return printable(text)
}
