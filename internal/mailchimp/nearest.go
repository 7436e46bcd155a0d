package mailchimp

import "strings"

// nearest returns the known name that somebody who wrote name probably meant, or nothing.
func nearest(name string, known []string) string {
	best, distance := "", 1+max(1, len(name)/3)
	for _, candidate := range known {
		if len(name) >= 4 && strings.HasPrefix(candidate, name) {
			return candidate
		}
		if d := editDistance(strings.ToLower(name), candidate, distance); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, substitutions and swaps of neighbours that turn a into b. It returns
// limit at once if the lengths alone show that the distance is no less.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			substitution := row[j]
			if a[i] != b[j] {
				substitution++
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, substitution)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
