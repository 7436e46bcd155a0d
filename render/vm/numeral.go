package vm

import (
	"math"
	"strings"
)

// numeral writes a number as std.format does, digit by digit in floats: so its result is the same to the
// last digit.
type numeral struct {
	*conversion
	// zeros is up to which width zeros are set in front.
	zeros     float64
	precision float64
}

// write returns false where the Jsonnet text has an error, or goes on for long.
func (n *numeral) write(x float64) (string, bool) {
	precision := 6.0
	if n.precise {
		precision = n.precision
	}
	if n.zeros > maxNumeral || n.precision > maxNumeral {
		return "", false
	}
	switch n.letter {
	case 'd':
		return n.whole(x <= -1, math.Floor(math.Abs(x)), n.zeros, n.precision, 10, ""), true
	case 'o':
		prefix := ""
		if n.alt {
			prefix = "0"
		}
		return n.whole(x <= -1, math.Floor(math.Abs(x)), n.zeros, n.precision, 8, prefix), true
	case 'x':
		return n.hex(math.Floor(x)), true
	case 'f':
		return n.decimal(x, n.zeros, true, precision)
	case 'e':
		return n.scientific(x, true, precision)
	default:
		return n.general(x, precision)
	}
}

// maxNumeral is how wide a number may be made.
const maxNumeral = 1 << 16

func (n *numeral) sign(negative bool) string {
	switch {
	case negative:
		return "-"
	case n.plus:
		return "+"
	case n.blank:
		return " "
	}
	return ""
}

// digitsOf returns the digits of a whole number.
func digitsOf(x, radix float64, numerals string) string {
	var reversed []byte
	for ; x != 0; x = math.Floor(x / radix) {
		reversed = append(reversed, numerals[int(math.Mod(x, radix))])
	}
	for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
		reversed[i], reversed[j] = reversed[j], reversed[i]
	}
	return string(reversed)
}

func padLeft(s string, width float64) string {
	if missing := int(width) - len(s); missing > 0 {
		return strings.Repeat("0", missing) + s
	}
	return s
}

func (n *numeral) whole(negative bool, size, width, least, radix float64, prefix string) string {
	s := "0"
	if size != 0 {
		s = prefix + digitsOf(size, radix, hexDigits)
	}
	sign := n.sign(negative)
	return sign + padLeft(s, max(width-float64(len(sign)), least))
}

func (n *numeral) hex(x float64) string {
	numerals, prefix := hexDigits, ""
	if n.alt {
		prefix = "0x"
	}
	if n.caps {
		numerals, prefix = "0123456789ABCDEF", strings.ToUpper(prefix)
	}
	s := "0"
	if size := math.Floor(math.Abs(x)); size != 0 {
		s = digitsOf(size, 16, numerals)
	}
	sign := n.sign(x < 0)
	return sign + prefix + padLeft(s, max(n.zeros-float64(len(sign))-float64(len(prefix)), n.precision))
}

func (n *numeral) decimal(x, zeros float64, trailing bool, precision float64) (string, bool) {
	denominator := math.Pow(10, precision)
	numerator := math.Abs(x)*denominator + 0.5
	if math.IsInf(denominator, 0) || math.IsInf(numerator, 0) || precision < 0 {
		return "", false
	}
	whole := 0.0
	if x != 0 {
		whole = math.Floor(numerator / denominator)
	}
	rest := math.Mod(math.Floor(numerator), denominator)
	point := 1.0
	if precision == 0 && !n.alt {
		point = 0
	}
	s := n.whole(x < 0, whole, zeros-precision-point, 0, 10, "")
	switch {
	case precision == 0 && n.alt:
		return s + ".", true
	case precision == 0 || !trailing && rest <= 0:
		return s, true
	}
	bare := numeral{conversion: &conversion{}}
	fraction := bare.whole(false, rest, precision, 0, 10, "")
	if !trailing {
		fraction = strings.TrimRight(fraction, "0")
	}
	return s + "." + fraction, true
}

func exponentOf(x float64) float64 {
	if x == 0 {
		return 0
	}
	return math.Floor(math.Log(math.Abs(x)) / math.Log(10))
}

func (n *numeral) scientific(x float64, trailing bool, precision float64) (string, bool) {
	exponent := exponentOf(x)
	letter := "e"
	if n.caps {
		letter = "E"
	}
	signed := numeral{conversion: &conversion{plus: true}}
	suffix := letter + signed.whole(exponent < 0, math.Abs(exponent), 3, 0, 10, "")
	mantissa := x / math.Pow(10, exponent)
	if exponent == -324 {
		mantissa = x * 10 / math.Pow(10, exponent+1)
	}
	s, ok := n.decimal(mantissa, n.zeros-float64(len(suffix)), trailing, precision)
	return s + suffix, ok && !math.IsNaN(mantissa) && !math.IsInf(mantissa, 0)
}

func (n *numeral) general(x, precision float64) (string, bool) {
	exponent := exponentOf(x)
	if exponent < -4 || exponent >= precision {
		return n.scientific(x, n.alt, precision-1)
	}
	return n.decimal(x, n.zeros, n.alt, precision-max(1, exponent+1))
}
