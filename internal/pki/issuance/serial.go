package issuance

import (
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strings"

	"chatelaine.dev/internal/fault"
)

// serialSize in bytes: 126 of its 128 bits are random, twice what the Baseline
// Requirements ask for (section 7.1), and 20 octets are the most (RFC 5280 section 4.1.2.2).
const serialSize = 16

// newSerial draws a serial. Its two highest bits are 01: it is positive, and every
// serial has the same length.
func newSerial(random io.Reader) (*big.Int, error) {
	b := make([]byte, serialSize)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("draw a serial: %w", err)
	}
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b), nil
}

// FormatSerial writes a serial as Certificate.Serial has it.
func FormatSerial(n *big.Int) string { return hex.EncodeToString(n.Bytes()) }

// ParseSerial reads a serial as people have it, in hex with or without colons, in either
// case and with leading zeros. fault.Invalid for anything else.
func ParseSerial(text string) (string, error) {
	digits := strings.ReplaceAll(text, ":", "")
	n, ok := new(big.Int), len(digits) > 0 && len(digits) <= 64
	for _, c := range digits { // SetString alone would take signs and underscores
		ok = ok && strings.ContainsRune("0123456789abcdefABCDEF", c)
	}
	if ok {
		_, ok = n.SetString(digits, 16)
	}
	if !ok || n.Sign() == 0 {
		return "", fault.New(fault.Invalid, "BadSerial", "%.64q is no serial number; write it in hex", text)
	}
	return FormatSerial(n), nil
}
